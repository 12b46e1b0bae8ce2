// The RAM of the guest behind a monitor: where QEMU says that it is, in the process that listens there.
//
// Only of a QEMU that waits for a migration: what is written to any other's memory would destroy a guest.
#pragma once

#include "qemu-glue/memory/guest_ram.h"
#include "qemu-glue/monitor/qmp.h"

namespace wherry {

Result<GuestRam> find_guest_ram(Qmp& qmp);

}  // namespace wherry
