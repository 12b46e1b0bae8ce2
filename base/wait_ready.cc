#include "base/wait_ready.h"

#include <algorithm>
#include <cerrno>

#include "base/errno.h"

namespace wherry {

Result<bool> wait_ready(std::span<pollfd> any, std::optional<std::chrono::steady_clock::time_point> until) {
  using std::chrono::milliseconds;
  constexpr int64_t kLongest = 1 << 30;
  for (;;) {
    int longest = -1;
    if (until) {
      const auto left = std::chrono::ceil<milliseconds>(*until - std::chrono::steady_clock::now());
      longest = static_cast<int>(std::clamp<int64_t>(left.count(), 0, kLongest));
    }
    const int ready = ::poll(any.data(), any.size(), longest);
    if (ready > 0) return true;
    if (ready == 0 && longest < kLongest) return false;
    if (ready < 0 && errno != EINTR) return fail("cannot wait: {}", reason(errno));
  }
}

}  // namespace wherry
