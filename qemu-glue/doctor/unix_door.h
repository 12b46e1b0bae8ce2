// Whether a unix socket of this host accepts connections. Each failure is a value, since each has its own
// remedy.
#pragma once

#include <string>

namespace wherry::doctor {

enum class UnixDoor {
  open,
  absent,     // there is no such file
  deserted,   // the file exists, but nobody listens
  forbidden,  // this user has no permission to connect, or to see the file
};

// Connects, and closes the connection.
UnixDoor unix_door(const std::string& path);

}  // namespace wherry::doctor
