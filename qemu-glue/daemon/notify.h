// Word to the service manager, by the protocol of sd_notify(3): a datagram to the socket in $NOTIFY_SOCKET.
#pragma once

#include <string>

namespace wherry::daemon {

// Like "READY=1" or "STATUS=…". Nobody there is no error.
void notify(const std::string& state);

}  // namespace wherry::daemon
