// The downtime that QEMU is told to keep to, so that the guest is away for no longer than it may be.
//
// QEMU reckons with what it has not sent yet. What Wherry has taken and not placed comes on top of that, at
// most a tenth of the target (flight_window.h): so QEMU gets nine.
#pragma once

#include <algorithm>
#include <chrono>

#include "qemu-glue/monitor/monitor.h"

namespace wherry {

inline std::chrono::milliseconds downtime_limit(std::chrono::milliseconds target) {
  return std::max(target * 9 / 10, std::chrono::milliseconds(1));
}

// Tells QEMU; returns what it was told before.
Result<nlohmann::json> set_downtime_limit(Monitor& qemu, std::chrono::milliseconds target);
// Puts that back.
Result<> restore_downtime_limit(Monitor& qemu, const nlohmann::json& before);

}  // namespace wherry
