// What a switchover costs besides sending pages: the fixed part of a downtime.
#pragma once

#include <chrono>

#include "qemu-glue/convergence/controller.h"

namespace wherry::convergence {

// What is added if another than QEMU resumes the guest at the destination.
struct Door {
  Downtime takes;       // without round trips
  int round_trips = 0;  // between the hosts, until the guest runs
};

struct SwitchoverCost {
  double most = 0;  // seconds, an upper bound
  Downtime usual;   // as a rule
};

SwitchoverCost switchover_cost(const Door& door, std::chrono::microseconds round_trip);

}  // namespace wherry::convergence
