// Whether the wherryd of another host can be reached, and accepts guests from this host.
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "qemu-glue/doctor/finding.h"
#include "transport/socket/endpoint.h"

namespace wherry::doctor {

// Asks a wherryd for the service `alive`, in a packet of the largest size that the kernel sends. Waits some
// seconds at most. Returns whether this host is allowed to manage the libvirt there.
Result<bool> ask_alive(Fd connection, const Endpoint& at);

// Resolves, connects, asks wherryd and checks the size of packets. Takes some seconds at most, plus the time
// to resolve the name.
Finding peer(const std::string& name, const Endpoint& at);

}  // namespace wherry::doctor
