// Whether a unix socket of this host can be used. Errors are answers here: each has a remedy of its own.
#pragma once

#include <string>

namespace wherry::doctor {

enum class UnixDoor {
  open,
  absent,     // no such file
  deserted,   // it is there, and nobody answers
  forbidden,  // this user may not connect, or not even look
};

// Connects and hangs up.
UnixDoor unix_door(const std::string& path);

}  // namespace wherry::doctor
