// Which of the peers this host is: a fleet may have one list of them for all of its hosts, in which each
// finds itself.
#pragma once

#include <string>
#include <vector>

#include "qemu-glue/daemon/config.h"

namespace wherry::daemon {

// By its name, or by an address. One at loopback is another: the near end of a tunnel; and so is one at
// another port than that where this host listens. Looks names up, which takes what a name server takes.
bool is_this_host(const Peer& peer, const Config& config);

// Takes this host out of the peers; the names that it had.
std::vector<std::string> leave_out_this_host(Config& config);

}  // namespace wherry::daemon
