#include "qemu-glue/daemon/carry_both_ways.h"

#include <sys/socket.h>

#include <cerrno>
#include <new>
#include <vector>

#include "base/start_thread.h"

namespace wherry {
namespace {

// Carries one direction until it ends.
void carry_on(int from, int to, const Carry& send_on) {
  std::vector<uint8_t> bytes(64 * 1024);
  for (;;) {
    const ssize_t got = ::recv(from, bytes.data(), bytes.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) {
      ::shutdown(to, SHUT_WR);
      return;
    }
    if (got > 0 && send_on(std::span(bytes).first(static_cast<size_t>(got)))) continue;
    ::shutdown(from, SHUT_RDWR);
    ::shutdown(to, SHUT_RDWR);
    return;
  }
}

// The same. If memory runs out, these two sockets are shut, and no others.
void carry(int from, int to, const Carry& send_on) {
  try {
    carry_on(from, to, send_on);
  } catch (const std::bad_alloc&) {
    ::shutdown(from, SHUT_RDWR);
    ::shutdown(to, SHUT_RDWR);
  }
}

}  // namespace

Result<> carry_both_ways(int a, int b, const Carry& forward, const Carry& back) {
  auto other = start_thread("carry back", [&] { carry(b, a, back); });
  if (!other) return pass_on(other);
  carry(a, b, forward);
  other->join();
  return {};
}

}  // namespace wherry
