// Accepts connections and serves each in a thread of its own. If descriptors or threads run out, it logs that
// once and continues when there are some again; connections that come in the meantime wait or are closed.
//
// Thread-safe.
#pragma once

#include <chrono>
#include <functional>

#include "transport/socket/connections.h"
#include "transport/socket/listener.h"

namespace wherry::daemon {

// Returns when the listener is stopped.
void serve_callers(const Listener& listener, std::chrono::seconds silence, Connections& connections,
                   const std::function<void(Fd connection)>& work);

}  // namespace wherry::daemon
