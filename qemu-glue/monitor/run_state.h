// What query-status says of a guest, as far as it matters to a migration.
#pragma once

#include <optional>
#include <string_view>

#include "qemu-glue/monitor/monitor.h"

namespace wherry::qemu {

enum class RunState {
  live,     // it runs, or sleeps (ACPI S3): it goes on at the destination
  stopped,  // by somebody or something, or it has not begun yet: it stays so at the destination
  bound,    // to this QEMU, by a debugger or a snapshot: no other takes it over like that
  leaves,   // QEMU has stopped it for a migration away from here. What it was before, this does not tell
  left,     // the same of a migration that is over
  awaited,  // it is to come from elsewhere
};

// Nothing: no QEMU that was known when this was written says that.
std::optional<RunState> run_state_named(std::string_view name);
// Asks QEMU. Nothing also if it does not say.
std::optional<RunState> ask_run_state(Monitor& qemu);
// Of a guest that has just stopped: what it is now if it was not QEMU that stopped it, for the switchover.
// Nothing also where that cannot be asked. It may take as long as the switchover.
std::optional<RunState> stopped_by_others(Monitor& qemu);

}  // namespace wherry::qemu
