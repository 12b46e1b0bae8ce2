// Finds the RAM of the guest of a monitor: asks QEMU where it is, and opens it in the process that listens on
// the monitor's socket.
//
// An Error if that QEMU does not wait for an incoming migration: writing to its memory would destroy a guest.
#pragma once

#include "qemu-glue/memory/guest_ram.h"
#include "qemu-glue/monitor/qmp.h"

namespace wherry {

Result<GuestRam> find_guest_ram(Qmp& qmp);

}  // namespace wherry
