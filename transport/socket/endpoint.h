// Where a stream socket is: a host and port, or the path of a unix socket.
#pragma once

#include <sys/un.h>

#include <cstdint>
#include <string>

namespace wherry {

// The most bytes that the path of a unix socket may have.
inline constexpr size_t kLongestSocketPath = sizeof(sockaddr_un::sun_path) - 1;

// Where a stream socket is: a unix socket's path, or a host and port.
struct Endpoint {
  std::string path;  // set: a unix socket
  std::string host;
  uint16_t port = 0;

  bool is_unix() const { return !path.empty(); }
  // Whether the address is this machine's own (127.0.0.0/8, ::1, localhost, a unix socket).
  bool is_loopback() const;
  // As a URI has it: [fe80::1%25eth0]:16520.
  std::string str() const;
};

}  // namespace wherry
