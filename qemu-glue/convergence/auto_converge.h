// Slows a guest's vCPUs down by QEMU's auto-converge, which needs nothing but its monitor, and lags behind:
//
// When QEMU syncs its dirty bitmap, at the end of a pass (and after 5 s, from 9.2 on), but no sooner than a
// second after the last time, it looks whether the guest has written to more than throttle-trigger-threshold
// percent of what was sent meanwhile. Every second time that this is so it goes from a throttle of nothing to
// cpu-throttle-initial, and from any other to
//
//     min(that + cpu-throttle-increment, max-cpu-throttle)
//
// With an increment of 99 that is max-cpu-throttle, above or below the one before: so it is set to what is
// wished, 1 % at least. The threshold stays at 100 until there is such a wish. QEMU ends the throttle with
// the migration. Source: QEMU's migration/ram.c and cpu-throttle.c, 7.2 to 11.1.
//
// It has to be taken before the migration begins: QEMU takes the capability no later. A Wherry that was
// killed leaves it on, with such parameters as nobody else has, for release_abandoned() to find.
//
// For one thread.
#pragma once

#include <memory>

#include "qemu-glue/convergence/throttle.h"
#include "qemu-glue/monitor/monitor.h"

namespace wherry::convergence {

class AutoConverge final : public Throttle {
 public:
  static Result<std::unique_ptr<Throttle>> take(Monitor& qemu);
  // Parameters are as they were, and the capability, which takes until QEMU has ended the migration.
  ~AutoConverge() override;

  Result<> throttle(double part) override;
  double holds(const nlohmann::json& query_migrate) const override;
  double taken(double running) const override { return running; }
  // QEMU wakes the vCPUs itself.
  void let_stop() override {}

  // Back to QEMU's defaults, for what was before is not known.
  static void release_abandoned(Monitor& qemu);

  static constexpr const char* kName = "auto-converge";

 private:
  AutoConverge(Monitor& qemu, nlohmann::json before) : qemu_(qemu), before_(std::move(before)) {}

  Monitor& qemu_;
  const nlohmann::json before_;  // parameters
  bool switched_on_ = false;     // the capability, by us
  int percent_ = 1;              // told
};

}  // namespace wherry::convergence
