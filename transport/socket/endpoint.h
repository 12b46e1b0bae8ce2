// Where a stream socket is: a host and port, or the path of a unix socket.
#pragma once

#include <sys/un.h>

#include <cstdint>
#include <string>

namespace wherry {

// The longest path of a unix socket, in bytes.
inline constexpr size_t kLongestSocketPath = sizeof(sockaddr_un::sun_path) - 1;

// Where a stream socket is: a unix socket's path, or a host and port.
struct Endpoint {
  std::string path;  // of a unix socket; empty: it is host and port
  std::string host;
  uint16_t port = 0;

  bool is_unix() const { return !path.empty(); }
  // Whether only this machine can reach it (127.0.0.0/8, ::1, localhost, a unix socket).
  bool is_loopback() const;
  // As it is written in a URI: [fe80::1%25eth0]:16520. The path of a unix socket.
  std::string str() const;
};

}  // namespace wherry
