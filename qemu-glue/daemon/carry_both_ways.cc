#include "qemu-glue/daemon/carry_both_ways.h"

#include <sys/socket.h>

#include <cerrno>
#include <thread>
#include <vector>

namespace wherry {
namespace {

// One direction.
void carry(int from, int to, const Carry& send_on) {
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

}  // namespace

void carry_both_ways(int a, int b, const Carry& forward, const Carry& back) {
  std::thread other([&] { carry(b, a, back); });
  carry(a, b, forward);
  other.join();
}

}  // namespace wherry
