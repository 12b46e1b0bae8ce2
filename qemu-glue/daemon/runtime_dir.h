// The directories of wherryd's sockets: /run/wherry, and a subdirectory for each host.
//
// Only root can create anything in /run/wherry and in the subdirectories of other hosts, where only Wherry
// listens. QEMU creates its sockets in the subdirectory of its own host.
#pragma once

#include <string>

#include "base/result.h"

namespace wherry::daemon {

// Creates a directory and its parents, or accepts existing ones. Mode 0711: other users can reach the sockets
// in it if the sockets' modes allow.
Result<> make_directory(const std::string& path);

// Creates a directory in which only members of `group` can create and reach sockets; with an empty group,
// only root.
Result<> make_directory_for(const std::string& group, const std::string& path);

// Removes sockets in the subdirectories on which no process listens any more.
void remove_stale_sockets(const std::string& runtime_dir);

// Gives the group access to a socket. The socket's directory must be writable by root only.
Result<> give_socket(const std::string& path, const std::string& group);

}  // namespace wherry::daemon
