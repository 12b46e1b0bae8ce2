// The directories of wherryd's sockets: /run/wherry, and one in it for each host.
//
// Nobody but root makes anything in /run/wherry, nor where only Wherry listens, which is in the directories
// of all other hosts. QEMU makes its sockets in that of this host.
#pragma once

#include <string>

#include "base/result.h"

namespace wherry::daemon {

// Makes a directory and those above it, or takes what is there. Others may pass through, to sockets that let
// them.
Result<> make_directory(const std::string& path);

// The same of one in which members of `group` may make sockets, and nobody else gets to any; an empty group:
// root alone.
Result<> make_directory_for(const std::string& group, const std::string& path);

// Removes sockets in the directories of hosts on which nobody listens any more.
void remove_stale_sockets(const std::string& runtime_dir);

// Lets the group use a socket in a directory in which only root makes anything.
Result<> give_socket(const std::string& path, const std::string& group);

}  // namespace wherry::daemon
