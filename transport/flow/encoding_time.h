// How long encoding takes, for the chooser. It is wall time, so that other work on the machine's processors
// counts, but at most kMostWaiting times the CPU time of the thread: a thread that had no processor for long
// says nothing about the way of encoding. Used by one thread.
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
