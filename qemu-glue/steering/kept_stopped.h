// A source that keeps its guest stopped after a migration that did not complete. QEMU 10.1 and later do so
// where they cannot take the guest's disks back, because the destination's QEMU holds their locks; others let
// the guest run on, or leave it as it was.
#pragma once

#include <optional>
#include <string>

#include "qemu-glue/monitor/monitor.h"

namespace wherry {

// To be asked of the source's QEMU when the migration is over and it has not given the guest up. A sentence,
// with what to do. Nothing: it is not so.
std::optional<std::string> kept_stopped(Monitor& qemu);

}  // namespace wherry
