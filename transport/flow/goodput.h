// Bytes landed a second, for the flight window and the progress line. It is the best of the last ten windows
// of 100 ms, so that a pause of the guest or of QEMU does not look like a slow link. Not thread-safe.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>

namespace wherry {

class Goodput {
 public:
  using Clock = std::chrono::steady_clock;

  // Returns whether the figure changed.
  bool add(uint64_t bytes, Clock::time_point now) {
    if (start_ == Clock::time_point{}) start_ = now;
    bytes_ += bytes;
    double seconds = std::chrono::duration<double>(now - start_).count();
    if (seconds < kWindow) return false;
    windows_[next_++ % windows_.size()] = static_cast<double>(bytes_) / seconds;
    bytes_ = 0;
    start_ = now;
    return true;
  }

  double bytes_per_second() const { return *std::max_element(windows_.begin(), windows_.end()); }

 private:
  static constexpr double kWindow = 0.1;
  Clock::time_point start_{};
  uint64_t bytes_ = 0;
  size_t next_ = 0;
  std::array<double, 10> windows_{};
};

}  // namespace wherry
