// Tells the service manager wherryd's state, as sd_notify(3) does: a datagram to the socket in
// $NOTIFY_SOCKET.
#pragma once

#include <string>

namespace wherry::daemon {

// `state` is like "READY=1" or "STATUS=…". Does nothing without a service manager.
void notify(const std::string& state);

}  // namespace wherry::daemon
