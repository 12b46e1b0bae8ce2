// How this process ends when something goes wrong on the host.
#pragma once

#include "base/result.h"

namespace wherry {

// When memory runs out, the kernel ends this process before others: guests above all. What it starts from now
// on inherits that.
Result<> end_before_others();

// It leaves no core dump: there might be pages of guests in it. As a side effect, only root may trace it or
// read what /proc/PID restricts to its user. What it starts by exec(2) does not inherit that.
void leave_no_core();

// Signals end this process as they end others, unless this program itself handles them. A library may handle
// them once it is loaded: libinfinipath, which Debian 12's libfabric loads, then exits with 1, so that a
// crash looks like an error. Call it first in main().
void end_by_signals();

}  // namespace wherry
