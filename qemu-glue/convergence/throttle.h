// A way to slow down a guest's vCPUs while it migrates. Each kind has its own take(), after which nothing is
// slowed yet. Its destructor undoes what it set.
//
// For one thread.
#pragma once

#include "base/result.h"
#include "qemu-glue/monitor/migration_figures.h"

namespace wherry::convergence {

class Throttle {
 public:
  virtual ~Throttle() = default;

  // Takes that part of what the guest has without us: with 0.25 it keeps three quarters. At most kMost.
  virtual Result<> throttle(double part) = 0;
  // How much of that holds by now.
  virtual double holds(const qemu::MigrationFigures& figures) const = 0;
  // What part of what it has without us does a vCPU take that runs for that part of the time?
  virtual double taken(double running) const = 0;
  // QEMU stops the guest, or has just done so: the vCPUs' threads have to answer it. May not ask QEMU's
  // monitor, which may be what calls this.
  virtual void let_stop() = 0;

  static constexpr double kMost = 0.99;
};

}  // namespace wherry::convergence
