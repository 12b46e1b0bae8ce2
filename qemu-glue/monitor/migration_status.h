// How far a migration has come, as its QEMU says in query-migrate.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

namespace wherry::qemu {

enum class MigrationPhase {
  none,      // there was no migration yet
  begins,    // nothing of the guest is sent yet
  active,    // the guest runs here, and its memory is sent
  held,      // the guest is stopped, and QEMU waits to be told to go on (pause-before-switchover)
  switches,  // the guest is stopped, and may still come back; or whatever else is on the way
  shared,    // postcopy: the guest is the destination's, with some of its memory here
  cut,       // the same, but the connection is lost: QEMU waits for somebody to recover it
  gives_up,  // on the way to one of the last two
  completed,
  failed,     // the guest stays here
  cancelled,  // the same, and somebody wished it so
};

// Nothing: no QEMU that was known when this was written has that status.
std::optional<MigrationPhase> phase_named(std::string_view status);
// QEMU's name for the phase: the first of several.
std::string_view name_of(MigrationPhase phase);
// Of an answer to query-migrate. An unknown status is taken for `switches`: the last ones are all known.
MigrationPhase phase_of(const nlohmann::json& query_migrate);
// Whether QEMU gets no further by itself.
bool is_over(MigrationPhase phase);

}  // namespace wherry::qemu
