// Where a QEMU waits for a migration, as it says itself (query-migrate, "socket-address").
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "base/result.h"
#include "qemu-glue/monitor/monitor.h"
#include "transport/socket/endpoint.h"

namespace wherry::qemu {

// A relative path is relative to QEMU's working directory; a host may be 0.0.0.0 or ::. Empty: it waits
// nowhere, or not at a socket.
std::vector<Endpoint> incoming_addresses(const nlohmann::json& query_migrate);

// An Error if the QEMU of that monitor does not wait at `at`, a host and port of this machine.
Result<> check_waits_at(Monitor& qemu, const Endpoint& at);

}  // namespace wherry::qemu
