// Whether the wherryd of another host can be reached, and lets guests come from this one.
#pragma once

#include <string>

#include "base/fd.h"
#include "qemu-glue/doctor/finding.h"
#include "transport/socket/endpoint.h"

namespace wherry::doctor {

// Asks a wherryd for a sign of life, with some seconds of patience, in a packet as large as the kernel makes
// them. Whether this host manages the libvirt there.
Result<bool> ask_alive(Fd connection, const Endpoint& at);

// That, and all that may be in the way to it. It takes some seconds at most (and what it takes to resolve the
// name).
Finding peer(const std::string& name, const Endpoint& at);

}  // namespace wherry::doctor
