// The directories of wherryd's sockets: /run/wherry, and one in it for each host.
#pragma once

#include <string>

#include "compression/result.h"

namespace wherry::daemon {

// Makes a directory and those above it, or takes what is there. Members of `group` may make sockets in it; an
// empty group: root alone. Others may pass through, to sockets that let them.
Result<> make_directory(const std::string& path, const std::string& group);

// Removes sockets in the directories of hosts on which nobody listens any more.
void remove_stale_sockets(const std::string& runtime_dir);

// Lets the group use a socket or a directory.
Result<> give_to_group(const std::string& path, const std::string& group, unsigned mode);

}  // namespace wherry::daemon
