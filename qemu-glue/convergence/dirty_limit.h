// Slows those vCPUs of a guest down that write most, as far as they write: QEMU's dirty limit, so many MB a
// second for each vCPU. It takes KVM's dirty ring (-accel kvm,dirty-ring-size=N) and QEMU 7.1.
//
// QEMU measures once a second what each vCPU writes to, and has one that is above its limit sleep whenever
// its ring is full. That takes some seconds to settle, and 25 MB/s more or less count as settled: a limit
// that is lower still may not be kept. What is asleep wakes by itself, and a guest that is stopped waits for
// it.
//
// One that is on already ends with this one: no limit tells whose it is. Source: QEMU's dirtylimit.c, of 7.2.
//
// For one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "qemu-glue/convergence/throttle.h"
#include "qemu-glue/monitor/monitor.h"

namespace wherry::convergence {

class DirtyLimit final : public Throttle {
 public:
  // What vCPUs write to is measured from then on.
  static Result<std::unique_ptr<Throttle>> take(Monitor& qemu);
  ~DirtyLimit() override;

  // In all, vCPUs write to that much less than they did before the first limit.
  Result<> throttle(double part) override;
  double holds(const nlohmann::json&) const override { return part_; }
  // It limits what is written, not how long for: so nothing is known of that.
  double taken(double) const override { return 1; }
  // Without a limit, one that sleeps still does.
  void let_stop() override {}

  static constexpr const char* kName = "dirty-limit";

 private:
  explicit DirtyLimit(Monitor& qemu) : qemu_(qemu) {}

  Monitor& qemu_;
  double part_ = 0;
  std::vector<double> rates_;  // of the vCPUs without a limit, MB/s, the least first
};

// The limit with which those rates, the least first, together are so much; at least 1.
uint64_t limit_for(const std::vector<double>& rates, double sum);

}  // namespace wherry::convergence
