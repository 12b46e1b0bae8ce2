// What a switchover costs besides sending pages: the fixed part of a downtime.
#pragma once

#include <chrono>

#include "qemu-glue/convergence/controller.h"

namespace wherry::convergence {

// What a switchover takes in addition because of the way in which a migration is steered: who resumes the
// guest at the destination, and whether pages are relayed through the destination's QEMU.
struct Door {
  Downtime takes;       // the time without round trips, seconds
  int round_trips = 0;  // between the hosts, until the guest runs
  double zeros = 0;     // seconds that QEMU still loads zero pages if the last ones were zero
};

struct SwitchoverCost {
  double most = 0;   // seconds, an upper bound
  Downtime usual;    // what it usually takes
  double zeros = 0;  // seconds that it takes in addition if the last pages were zero
};

SwitchoverCost switchover_cost(const Door& door, std::chrono::microseconds round_trip);

}  // namespace wherry::convergence
