// What /proc tells of a QEMU on this host with which Wherry shares paths: whose it is, and where its paths
// begin.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"

namespace wherry {

// The user as whom a process connects and makes files now. A QEMU may have become another (-runas) than the
// one whom SO_PEERCRED shows, who has made the socket.
Result<uid_t> user_of(pid_t process);

// Where a path is for us that a process has for one: a relative one begins at its working directory.
std::string path_of(pid_t process, const std::string& path);

}  // namespace wherry
