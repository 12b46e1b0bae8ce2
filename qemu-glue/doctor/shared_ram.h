// Whether there is room for the shared RAM of this host's guests. QEMU's look at a page, whether it is zero,
// gives it memory where it lies in tmpfs: so the first pass of a migration fills all that the guest has never
// touched, here at the source, over any transport (findings/a-pass-fills-shared-ram.sh).
#pragma once

#include <string>

#include "qemu-glue/doctor/finding.h"

namespace wherry::doctor {

// `proc`: /proc. QEMUs that this user may not look into are left out.
Finding shared_ram(const std::string& proc);

}  // namespace wherry::doctor
