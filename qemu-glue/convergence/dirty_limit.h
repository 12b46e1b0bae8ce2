// Slows down the vCPUs that write most, by how much they write: QEMU's dirty limit, in MB a second for each
// vCPU. It needs KVM's dirty ring (-accel kvm,dirty-ring-size=N) and QEMU 7.1 or later.
//
// QEMU measures once a second how much memory each vCPU writes to. A vCPU above its limit sleeps whenever its
// ring is full. That takes some seconds to settle, and to QEMU a rate within 25 MB/s of the limit is settled:
// a limit below that may not be kept. A vCPU that sleeps wakes by itself, and a guest that is to stop waits
// for it.
//
// If a limit was on already, it ends with this one: QEMU does not say whose a limit is. Source: QEMU 7.2's
// dirtylimit.c.
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
  // From then on QEMU measures how much vCPUs write to.
  static Result<std::unique_ptr<Throttle>> take(Monitor& qemu);
  ~DirtyLimit() override;

  // All vCPUs together write that much less than they did before the first limit.
  Result<> throttle(double part) override;
  double holds(const qemu::MigrationFigures&) const override { return part_; }
  // It limits what vCPUs write, not how long they run: nothing is known of that.
  double taken(double) const override { return 1; }
  // Ending the limit does not wake a vCPU that sleeps.
  void let_stop() override {}

  static constexpr const char* kName = "dirty-limit";

 private:
  explicit DirtyLimit(Monitor& qemu) : qemu_(qemu) {}

  Monitor& qemu_;
  double part_ = 0;            // the part that is taken, 0 to kMost
  std::vector<double> rates_;  // how much each vCPU wrote without a limit, MB/s, the least first
};

// The limit in MB/s with which those rates, the least first, add up to `sum`; at least 1.
uint64_t limit_for(const std::vector<double>& rates, double sum);

}  // namespace wherry::convergence
