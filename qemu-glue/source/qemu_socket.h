// The socket at the source to which its QEMU connects. At a path it is for QEMU's user alone.
#pragma once

#include <sys/types.h>

#include <optional>

#include "transport/socket/endpoint.h"
#include "transport/socket/listener.h"

namespace wherry {

// `user`: as whom QEMU runs. Where that is not known, it is who the socket's directory belongs to; but only
// root can make sockets for others.
Result<Listener> listen_for_qemu(const Endpoint& at, std::optional<uid_t> user);

}  // namespace wherry
