// The guest's run state in query-status, mapped to what it means for a migration.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "qemu-glue/monitor/monitor.h"

namespace wherry::qemu {

enum class RunState {
  live,     // it runs or sleeps (ACPI S3), and must run at the destination
  stopped,  // it was stopped, or was not started yet, and must stay stopped at the destination
  bound,    // a debugger or a snapshot ties it to this QEMU: it cannot migrate in this state
  leaves,   // QEMU has stopped it for an outgoing migration; its state before that is not told
  left,     // QEMU has stopped it for an outgoing migration that is over
  awaited,  // it is to come by an incoming migration
};

// Nothing if no QEMU from 7.2 to 11.1 has this state.
std::optional<RunState> run_state_named(std::string_view name);
// The state's name as QEMU says it, printable.
Result<std::string> ask_status(Monitor& qemu);
// Asks QEMU. Nothing also if it does not answer.
std::optional<RunState> ask_run_state(Monitor& qemu);
// Of a guest that has just stopped: its state, if something other than the switchover has stopped it. Nothing
// if it was the switchover, or QEMU does not answer. May take as long as the switchover.
std::optional<RunState> stopped_by_others(Monitor& qemu);

}  // namespace wherry::qemu
