// The capabilities and parameters that QEMU has for a migration, and what becomes of each when a guest goes
// from one QEMU to another by Wherry.
//
//   read_settings() at both ends ─▶ settle(): what to set at each, or why it cannot be ─▶ write_settings()
//
// What both ends must agree on, the destination takes from the source. What is not in the table, because its
// QEMU is newer, is taken for such a capability, and for a parameter of one end alone.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "qemu-glue/monitor/monitor.h"

namespace wherry {

// By name.
struct MigrationSettings {
  nlohmann::json capabilities = nlohmann::json::object();
  nlohmann::json parameters = nlohmann::json::object();
};

Result<MigrationSettings> read_settings(Monitor& qemu);
Result<> write_settings(Monitor& qemu, const MigrationSettings& settings);

// What to set at each end, but for what stands so already, and what the source had before.
struct Settled {
  MigrationSettings source;
  MigrationSettings destination;
  MigrationSettings before;
};

// An Error: what the source wishes, this destination cannot do, or Wherry not carry. Nothing was set then.
Result<Settled> settle(const MigrationSettings& source, const MigrationSettings& destination);

// Whether the table has them.
bool is_known_capability(std::string_view name);
bool is_known_parameter(std::string_view name);

}  // namespace wherry
