// How long a guest's processors have run: what a guest writes grows with that, whether it is slowed, comes in
// bursts or has nothing to do.
//
// Source: the first number of /proc/PID/task/TID/schedstat (sched-stats of the kernel's documentation). It
// lags by up to a tick while a thread runs, and is exact when it does not. For one thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/fd.h"

namespace wherry::convergence {

class VcpuTime {
 public:
  // Nothing if the threads cannot be seen from here, or the kernel does not count.
  static std::optional<VcpuTime> of(pid_t qemu, const std::vector<pid_t>& threads);

  struct Ran {
    double all = 0;      // seconds that all vCPUs together have run
    double busiest = 0;  // seconds: what the busiest vCPU ran between two calls, summed over all calls
  };
  // Since the start of each thread; never less than before.
  Ran ran();

 private:
  struct Thread {
    Fd file;
    uint64_t nanoseconds = 0;
  };
  static std::optional<uint64_t> read(const Fd& file);

  std::vector<Thread> threads_;
  uint64_t busiest_ = 0;
};

}  // namespace wherry::convergence
