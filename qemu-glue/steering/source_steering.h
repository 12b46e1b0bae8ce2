// Steers a migration away from a QEMU to its end: drives the Convergence with what QEMU says of it, and tells
// the Sender what it needs of that.
//
//   begin(), before QEMU connects ─▶ steer(), again and again ─▶ its end: QEMU's limits are as they were
//
// To ask QEMU, to wait until the next look is due, and to find the end is up to the owner. One thread at a
// time.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>

#include "base/result.h"
#include "qemu-glue/convergence/convergence.h"
#include "qemu-glue/convergence/source_qemu.h"
#include "qemu-glue/monitor/migration_figures.h"
#include "qemu-glue/source/sender.h"
#include "qemu-glue/uri.h"

namespace wherry {

class SourceSteering {
 public:
  // `qemu` and `sender` outlive this. `process` is QEMU's; 0: it is not known. `door` is what the guest's
  // absence takes besides QEMU. An Error: QEMU cannot be steered.
  static Result<std::unique_ptr<SourceSteering>> begin(convergence::SourceQemu& qemu, pid_t process,
                                                       const convergence::Door& door, const Uri& wish,
                                                       Sender& sender);

  // With QEMU's latest figures. Returns after how long to ask again, at the latest. An Error: the
  // migration is to be given up.
  Result<std::chrono::milliseconds> steer(const qemu::MigrationFigures& figures);
  // Takes into the report what came up while the owner waited, such as the guest's stop.
  void note() { sender_.note(converging_->state()); }

 private:
  SourceSteering(Sender& sender, std::unique_ptr<convergence::Convergence> converging);

  Sender& sender_;
  const std::unique_ptr<convergence::Convergence> converging_;
};

}  // namespace wherry
