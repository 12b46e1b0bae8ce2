#include "qemu-glue/daemon/refusals.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <array>
#include <utility>

#include "qemu-glue/daemon/bounds.h"
#include "transport/wire/bounds.h"
#include "transport/wire/frame_socket.h"

namespace wherry::daemon {

void Refusals::refuse(Fd connection, const std::string& who, const std::string& why) {
  log(who, why);
  // What it has sent is taken first: closing a socket with unread bytes resets the connection, and it might
  // not read the refusal.
  std::array<uint8_t, kFirstFrameBytes> unread;
  (void)::recv(connection.get(), unread.data(), unread.size(), MSG_DONTWAIT);
  // The answer fits into the socket's buffer, which is empty.
  FrameSocket(std::move(connection), who).refuse(why);
}

void Refusals::log(const std::string& who, const std::string& why) {
  size_t left_out = 0;
  {
    Lock lock(mutex_);
    const auto now = Clock::now();
    if (now - began_ >= std::chrono::seconds(1)) {
      began_ = now;
      lines_ = 0;
    }
    if (++lines_ > kRefusalLines) {
      ++left_out_;
      return;
    }
    left_out = std::exchange(left_out_, 0);
  }
  if (left_out > 0) spdlog::info("{} more connections were refused since the last line", left_out);
  spdlog::info("{} is refused: {}", who, why);
}

}  // namespace wherry::daemon
