// Finds this host among the peers, so that all hosts of a fleet can share one list of peers.
#pragma once

#include <string>
#include <vector>

#include "qemu-glue/daemon/config.h"

namespace wherry::daemon {

// Whether a peer is this host, by its name or an address. A loopback address is not: it is the near end of a
// tunnel. Nor is a peer with another port than this host listens at. Resolves a name, which can take long; a
// peer of the configuration has none.
bool is_this_host(const Peer& peer, const Config& config);

// Removes this host from the peers. Returns the names under which it was listed.
std::vector<std::string> leave_out_this_host(Config& config);

}  // namespace wherry::daemon
