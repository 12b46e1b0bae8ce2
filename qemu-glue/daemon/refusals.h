// Refuses connections at the port of this host: each is told why, and the log is too, but not of more than
// kRefusalLines in a second. A line after that says how many were left out.
//
// Thread-safe.
#pragma once

#include <chrono>
#include <string>

#include "base/fd.h"
#include "base/mutex.h"

namespace wherry::daemon {

class Refusals {
 public:
  // `who` is the name in the log. Does not wait.
  void refuse(Fd connection, const std::string& who, const std::string& why);
  // Only to the log.
  void log(const std::string& who, const std::string& why);

 private:
  using Clock = std::chrono::steady_clock;
  Mutex mutex_;
  Clock::time_point began_ WHERRY_GUARDED_BY(mutex_);  // of the second that is counted
  size_t lines_ WHERRY_GUARDED_BY(mutex_) = 0;
  size_t left_out_ WHERRY_GUARDED_BY(mutex_) = 0;
};

}  // namespace wherry::daemon
