// What /proc tells about a QEMU process on this host: its user, and how to reach its paths.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"

namespace wherry {

// The user as which a process connects and creates files now (its filesystem uid). SO_PEERCRED shows the user
// who created the socket; QEMU may have changed its user since (-runas).
Result<uid_t> user_of(pid_t process);

// A path of that process, usable from this one: a relative path starts at that process's working directory.
std::string path_of(pid_t process, const std::string& path);

}  // namespace wherry
