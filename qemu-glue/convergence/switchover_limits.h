// What QEMU goes by when it decides whether to stop the guest: at the end of a pass it stops the guest if
// what remains would land within the downtime limit, at the rate that it assumes.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>

namespace wherry::convergence {

// In an answer, an empty field says that QEMU has no such parameter. In a command, it leaves the parameter as
// it is.
struct SwitchoverLimits {
  std::optional<uint64_t> downtime_ms;  // "downtime-limit", milliseconds
  // "avail-switchover-bandwidth", bytes a second; 0: QEMU assumes the rate that it measures. QEMU 8.2 and
  // later have it.
  std::optional<uint64_t> bandwidth;
};

// As QMP's migration parameters, and from them.
nlohmann::json to_parameters(const SwitchoverLimits& limits);
SwitchoverLimits limits_in(const nlohmann::json& parameters);

}  // namespace wherry::convergence
