// Whether this host has enough memory for the shared RAM of its guests. At the source, QEMU reads each page
// to see whether it is zero. If the RAM is in tmpfs, that read allocates the page. So the first pass of a
// migration allocates all RAM that the guest has never touched, over any transport
// (findings/a-pass-fills-shared-ram.sh).
#pragma once

#include <string>

#include "qemu-glue/doctor/finding.h"

namespace wherry::doctor {

// `proc`: /proc. QEMUs that this user cannot examine are left out.
Finding shared_ram(const std::string& proc);

}  // namespace wherry::doctor
