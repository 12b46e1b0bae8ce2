// How long the guest's vCPUs have run, how much they have used of what they would have without a throttle,
// and how much of their time a throttle took.
//
// Knows no clock: times are seconds since any moment, at which the account begins. Not thread-safe.
#pragma once

#include <optional>
#include <utility>

#include "qemu-glue/convergence/throttle.h"
#include "qemu-glue/convergence/vcpu_time.h"

namespace wherry::convergence {

class VcpuAccount {
 public:
  // `time` is what the kernel counts. Nothing: it cannot be seen from here, and vCPUs count as running for
  // all of the time that a throttle leaves them.
  explicit VcpuAccount(std::optional<VcpuTime> time = {}) : time_(std::move(time)) {}

  struct Ran {
    double all = 0;   // seconds that all vCPUs have run, added up
    double used = 0;  // seconds that the busiest has used of what it has without a throttle
  };
  // Until now. `throttle` is what slows the guest; null: nothing does.
  Ran ran(double now, const Throttle* throttle);

  // The throttle takes that part of the time from now on, 0 to 1.
  void throttled(double now, double part);
  // The parts that the throttle takes, took at most, and took on average. Nothing: there was no throttle.
  std::optional<double> part() const { return part_; }
  std::optional<double> most() const { return most_; }
  std::optional<double> average(double now) const;

 private:
  std::optional<VcpuTime> time_;
  double busiest_ = 0;          // seconds, VcpuTime::Ran::busiest at the last call of ran()
  double ran_at_ = 0;           // when ran() was last called, seconds
  double used_ = 0;             // Ran::used at the last call of ran(), seconds
  double throttled_at_ = 0;     // when throttled() was last called, seconds
  double taken_ = 0;            // seconds of full throttle, until throttled() was last called
  std::optional<double> part_;  // the part that the throttle has taken since throttled() was last called
  std::optional<double> most_;  // the largest part that the throttle ever took
};

}  // namespace wherry::convergence
