// How long encoding takes, for the chooser: wall time, so that other work on the machine's processors counts,
// but at most so many times what the thread worked. One that was without a processor for long says more of
// chance than of the way it encoded. For one thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <ctime>

namespace wherry {

class EncodingTime {
 public:
  using Seconds = std::chrono::duration<double>;

  Seconds elapsed() const {
    return std::min<Seconds>(std::chrono::steady_clock::now() - start_, kMostWaiting * (worked() - worked_));
  }

 private:
  static constexpr double kMostWaiting = 3;

  static Seconds worked() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  }

  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  Seconds worked_ = worked();
};

}  // namespace wherry
