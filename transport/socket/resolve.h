// The socket addresses of an endpoint. Thread-safe.
#pragma once

#include <netdb.h>
#include <sys/un.h>

#include <memory>
#include <string>

#include "base/event.h"
#include "base/result.h"
#include "transport/socket/endpoint.h"

namespace wherry {

struct AddrInfoFree {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};
// A list of getaddrinfo(3).
using AddrInfo = std::unique_ptr<addrinfo, AddrInfoFree>;

// All addresses of a host, to listen on. Blocks for as long as the name server takes.
Result<AddrInfo> resolve_to_listen(const Endpoint& at);
// All addresses of a host, to connect to. Fails as soon as `cancel`, if there is one, is raised.
Result<AddrInfo> resolve_to_connect(const Endpoint& at, const Event* cancel);

Result<sockaddr_un> unix_address(const std::string& path);

// "WHY (ADDRESS)" if the user gave a name instead of this address; else "WHY".
std::string of_address(std::string why, const std::string& address, const Endpoint& at);

}  // namespace wherry
