#include "transport/socket/endpoint.h"

#include <fmt/core.h>

#include "transport/socket/addresses.h"

namespace wherry {

bool Endpoint::is_loopback() const {
  return is_unix() || host == "localhost" || is_loopback_address(host);
}

std::string Endpoint::str() const {
  if (is_unix()) return path;
  return fmt::format("{}:{}", in_uri(host), port);
}

}  // namespace wherry
