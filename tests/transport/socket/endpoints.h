// Endpoints for tests of sockets.
#pragma once

#include <string>

#include "transport/socket/endpoint.h"

namespace wherry::test {

inline constexpr const char* kNoMore = "Too many open files (ulimit -n, LimitNOFILE)";

inline Endpoint unix_at(const std::string& path) {
  return {.path = path, .host = {}, .port = 0};
}

inline Endpoint tcp(const std::string& host, uint16_t port) {
  return {.path = {}, .host = host, .port = port};
}

}  // namespace wherry::test
