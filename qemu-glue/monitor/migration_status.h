// The status of a migration in query-migrate, mapped to the phases that matter when waiting for its end.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

namespace wherry::qemu {

enum class MigrationPhase {
  none,      // there was no migration yet
  begins,    // setup: nothing of the guest was sent yet
  active,    // the guest runs here, and its memory is sent
  held,      // the guest is stopped, and QEMU waits for migrate-continue (pause-before-switchover)
  switches,  // the guest is stopped and may still resume here; also any unknown status
  shared,    // postcopy: the guest runs at the destination, and part of its memory is here
  cut,       // postcopy is paused: the connection is lost, and QEMU waits for migrate-recover
  gives_up,  // on the way to failed or cancelled
  completed,
  failed,     // the guest stays here
  cancelled,  // the guest stays here: the migration was cancelled
};

// Nothing if no QEMU from 7.2 to 11.1 has this status.
std::optional<MigrationPhase> phase_named(std::string_view status);
// QEMU's name for the phase: the first of several.
std::string_view name_of(MigrationPhase phase);
// The phase in an answer to query-migrate. An unknown status is `switches`: all final ones are known.
MigrationPhase phase_of(const nlohmann::json& query_migrate);
// Whether the phase does not change any more without a command.
bool is_over(MigrationPhase phase);

}  // namespace wherry::qemu
