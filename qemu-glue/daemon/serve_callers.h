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

// Returns when the listener is stopped. `alone` serves a connection in the caller's thread, if there is no
// other; the next one waits for it. Without `alone` such a connection is closed.
void serve_callers(const Listener& listener, std::chrono::seconds silence, Connections& connections,
                   const std::function<void(Fd connection)>& work,
                   const std::function<void(Fd connection)>& alone = nullptr);

}  // namespace wherry::daemon
