// Connecting to an endpoint. Thread-safe.
#pragma once

#include <chrono>

#include "base/event.h"
#include "base/fd.h"
#include "base/result.h"
#include "transport/socket/endpoint.h"

namespace wherry {

// Connects within `timeout`. Of several addresses that a host has, each has its part of it, one after the
// other. TCP sockets come without Nagle's delay, and with keepalive and TCP_USER_TIMEOUT
// set so that a peer that vanished is noticed after `silence`. Given `cancel`, it fails as soon as that is
// raised, but for a unix socket.
Result<Fd> connect_to(const Endpoint& to, std::chrono::milliseconds timeout, std::chrono::seconds silence,
                      const Event* cancel = nullptr);

}  // namespace wherry
