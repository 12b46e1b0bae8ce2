// The socket addresses that an endpoint stands for. Thread-safe.
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

// All addresses of a host, to listen at. Waits for a name server as long as that takes.
Result<AddrInfo> resolve_to_listen(const Endpoint& at);
// To connect to. Given `cancel`, it ends with an error as soon as that is raised.
Result<AddrInfo> resolve_to_connect(const Endpoint& at, const Event* cancel);

Result<sockaddr_un> unix_address(const std::string& path);

// "WHY (ADDRESS)" where the user did not give that address but a name; else WHY.
std::string of_address(std::string why, const std::string& address, const Endpoint& at);

}  // namespace wherry
