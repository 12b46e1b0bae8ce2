// A way to slow down a guest's vCPUs while it migrates. Each kind has its own take(), after which nothing is
// slowed yet. Its destructor undoes what it set.
//
// For one thread.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "qemu-glue/monitor/migration_figures.h"

namespace wherry::convergence {

class Throttle {
 public:
  virtual ~Throttle() = default;

  // Takes this part of what the guest has without a throttle: with 0.25 it keeps three quarters. At most
  // kMost.
  virtual Result<> throttle(double part) = 0;
  // The part that it really takes by now.
  virtual double holds(const qemu::MigrationFigures& figures) const = 0;
  // A vCPU runs for this part of the time. Returns what part that is of what it has without a throttle.
  virtual double taken(double running) const = 0;
  // QEMU stops the guest, or has just done so: the vCPUs' threads have to answer it. Must not ask QEMU's
  // monitor, which may be calling this.
  virtual void let_stop() = 0;

  static constexpr double kMost = 0.99;
};

// What slows a guest, and how much so far.
struct Throttling {
  // Of the time of its vCPUs that the guest does not get, percent.
  struct Percent {
    double now = 0;
    double peak = 0;
    double mean = 0;
  };
  std::string by;                  // the throttle's name; empty: nothing can or may slow the guest
  std::string reason;              // why no better throttle was taken; empty: it is the best
  std::optional<Percent> percent;  // nothing: no throttle has been used yet
};

}  // namespace wherry::convergence
