// The loop of a daemon that serves whoever calls. Where there is no room for one more, of descriptors or of
// threads, it says so once and goes on when there is: those who call meanwhile wait, or are closed.
//
// Thread-safe.
#pragma once

#include <chrono>
#include <functional>

#include "transport/socket/connections.h"
#include "transport/socket/listener.h"

namespace wherry::daemon {

// Ends when the listener is stopped.
void serve_callers(const Listener& listener, std::chrono::seconds silence, Connections& connections,
                   const std::function<void(Fd connection)>& work);

}  // namespace wherry::daemon
