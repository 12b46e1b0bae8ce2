// Which throttle slows the guest, and why it is that one. It is the first of these that works on this host:
//
//     dirty-limit ─▶ vcpu-quota ─▶ auto-converge
//
// A dirty limit tolerates some writing (dirty_limit.h). If it is not enough, the next one replaces it.
//
// For one thread. QEMU's stop can be heard while that is inside a call; then let_stop() and throttle() are
// called from there.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "qemu-glue/convergence/qemu_mark.h"
#include "qemu-glue/convergence/source_qemu.h"
#include "qemu-glue/convergence/throttle.h"

namespace wherry::convergence {

class ThrottleLadder {
 public:
  // Takes no throttle yet. Marks what QEMU had set (`before`) until this ends. `process` is QEMU's; 0: it is
  // not known, and nothing is marked.
  ThrottleLadder(SourceQemu& qemu, pid_t process, const SwitchoverLimits& before);

  // Takes the next throttle that works, in place of the one before. False: there is none, and the one before
  // stays.
  bool take_next();
  // The throttle was not enough: takes a stronger one. False: there is none.
  bool take_stronger(uint64_t pass);

  // Null: nothing slows the guest.
  const Throttle* throttle() const { return throttle_.get(); }
  // The name of what slows the guest, or did until an error; empty: nothing could.
  const std::string& by() const { return by_; }
  // Why no better throttle was taken; empty: it is the best.
  const std::string& reason() const { return reason_; }

  // Slows the guest by that part of its vCPUs' time. `stops`: QEMU waits for the vCPUs, to stop them. An
  // error ends the throttle, with no other in its place.
  Result<> slow(double part, bool stops, const qemu::MigrationFigures& figures);
  // The part that the throttle really took at the last call of slow().
  double holds() const { return holds_; }
  // The guest has stopped: QEMU still asks the vCPUs' threads for their registers.
  void let_stop();
  // The pass before this one had the throttle that slow() was told from its beginning to its end.
  bool held_for_a_pass(uint64_t pass) const { return pass > lags_ + 1; }

 private:
  SourceQemu& qemu_;
  const pid_t process_;                 // QEMU's; 0: not known
  std::optional<QemuMark> mark_;        // outlives the throttle
  std::unique_ptr<Throttle> throttle_;  // null: the guest cannot be slowed
  size_t next_ = 0;                     // the step that take_next() tries next
  std::string by_;
  std::string reason_;
  double holds_ = 0;
  uint64_t lags_ = 0;  // the last pass in which the throttle was less than slow() was told
};

}  // namespace wherry::convergence
