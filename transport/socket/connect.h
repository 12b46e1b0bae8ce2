// Connecting to an endpoint. Thread-safe.
#pragma once

#include <chrono>

#include "base/event.h"
#include "base/fd.h"
#include "base/result.h"
#include "transport/socket/endpoint.h"

namespace wherry {

// From which port of this host. `privileged`: one that only root can take (below 1024), by which a peer knows
// that root calls. Without that right, any.
enum class SourcePort { any, privileged };

// Connects within `timeout`. If a host has several addresses, they are tried one after the other, each for a
// part of that time. TCP sockets have Nagle's algorithm off, and keepalive and TCP_USER_TIMEOUT set so that a
// peer that has vanished is noticed after `silence`. Fails as soon as `cancel` is raised, unless it is a unix
// socket.
Result<Fd> connect_to(const Endpoint& to, std::chrono::milliseconds timeout, std::chrono::seconds silence,
                      const Event* cancel = nullptr, SourcePort from = SourcePort::any);

}  // namespace wherry
