// Slows down a guest's vCPUs by QEMU's auto-converge, which needs nothing but QEMU's monitor, and lags:
//
// QEMU syncs its dirty bitmap at the end of a pass (and after 5 s, from 9.2 on). Then, if a second has passed
// since the last time, it looks whether the guest has written to more than throttle-trigger-threshold percent
// of what was sent meanwhile. Every second time that this is so, it goes from no throttle to
// cpu-throttle-initial, and from any other throttle to
//
//     min(that throttle + cpu-throttle-increment, max-cpu-throttle)
//
// With an increment of 99 that is max-cpu-throttle, whether the throttle was higher or lower before. So
// max-cpu-throttle is set to the wanted throttle, at least 1 %. The threshold stays at 100 until a throttle
// is wanted. QEMU ends the throttle with the migration. Source: QEMU's migration/ram.c and
// cpu-throttle.c, 7.2 to 11.1.
//
// It has to be taken before the migration begins: QEMU does not accept the capability later. A Wherry that
// was killed leaves it on, with parameters that nobody else sets, for release_abandoned() to find.
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
  // Restores the parameters and the capability. QEMU accepts the latter only when the migration has ended.
  ~AutoConverge() override;

  Result<> throttle(double part) override;
  double holds(const qemu::MigrationFigures& figures) const override { return figures.auto_converge; }
  double taken(double running) const override { return running; }
  // QEMU wakes the vCPUs itself.
  void let_stop() override {}

  // Sets QEMU's defaults: the values from before are not known.
  static void release_abandoned(Monitor& qemu);

  static constexpr const char* kName = "auto-converge";

 private:
  AutoConverge(Monitor& qemu, nlohmann::json before) : qemu_(qemu), before_(std::move(before)) {}

  Monitor& qemu_;
  const nlohmann::json before_;  // the parameters as they were
  bool switched_on_ = false;     // the capability was off, and we switched it on
  int percent_ = 1;              // the throttle that QEMU was told last, percent
};

}  // namespace wherry::convergence
