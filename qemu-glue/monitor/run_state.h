// What query-status says of a guest, as far as it matters to a migration.
#pragma once

#include <optional>
#include <string_view>

#include "qemu-glue/monitor/monitor.h"

namespace wherry::qemu {

enum class RunState {
  live,     // it runs, or sleeps (ACPI S3): it goes on at the destination
  stopped,  // by somebody or something, or it has not begun yet: it stays so at the destination
  leaves,   // QEMU has stopped it for a migration away from here. What it was before, this does not tell
  awaited,  // it is to come from elsewhere
};

// Nothing: no QEMU that was known when this was written says that.
std::optional<RunState> run_state_named(std::string_view name);
// Asks QEMU; it may take as long as a switchover. Nothing also if it does not say.
std::optional<RunState> ask_run_state(Monitor& qemu);

}  // namespace wherry::qemu
