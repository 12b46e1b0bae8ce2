// A way to slow a guest's vCPUs down while it migrates. Each has its own take(), after which nothing is
// slowed yet; with its end, what it set is undone.
//
// For one thread.
#pragma once

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace wherry::convergence {

class Throttle {
 public:
  virtual ~Throttle() = default;

  // 0: none; 0.25: the guest has three quarters of what it has without us; at most kMost.
  virtual Result<> throttle(double part) = 0;
  // How much of that holds by now, with QEMU's answer to query-migrate.
  virtual double holds(const nlohmann::json& query_migrate) const = 0;
  // A vCPU that runs for that part of the time, what part of what it has without us does it take?
  virtual double taken(double running) const = 0;
  // QEMU stops the guest, or has just done so: the vCPUs' threads have to answer it. May not ask QEMU's
  // monitor, which may be where it was heard of.
  virtual void let_stop() = 0;

  static constexpr double kMost = 0.99;
};

}  // namespace wherry::convergence
