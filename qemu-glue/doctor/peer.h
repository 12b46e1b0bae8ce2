// Whether the wherryd of another host can be reached.
#pragma once

#include <string>

#include "qemu-glue/doctor/finding.h"
#include "transport/socket.h"

namespace wherry::doctor {

// Asks it for a sign of life, which takes some seconds at most (and what it takes to resolve the name).
Finding peer(const std::string& name, const Endpoint& at);

}  // namespace wherry::doctor
