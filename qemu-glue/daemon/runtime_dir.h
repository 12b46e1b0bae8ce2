// The directories of wherryd's sockets: RUNTIME_DIR, in it one for each host, and in that one for each route.
//
// The first two belong to the user that wherryd runs as (root), have mode 0711, and nobody else can create or
// rename anything in them. Where this host's QEMU makes the sockets of a route, the route's directory is that
// user's alone (0700). In all other directories only Wherry listens.
//
// A directory is made and changed through descriptors, and no link is followed, because a name can come from
// a peer. What exists already keeps its owner and mode; if it could be written by others, it is refused.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "qemu-glue/daemon/local_users.h"
#include "qemu-glue/daemon/route.h"

namespace wherry::daemon {

// Makes the runtime directory and its parents, or accepts it. The same for the directory of a host in it.
Result<> make_runtime_dir(const std::string& runtime_dir);
Result<> make_host_dir(const std::string& runtime_dir, const std::string& host);

// Makes the directory of a route, which must not exist. `qemu`: the user whose QEMU makes its sockets there;
// nothing where Wherry does.
Result<> make_route_dir(const std::string& runtime_dir, const Route& route,
                        const std::optional<LocalUser>& qemu);
// Removes it with its sockets, and the host's directory if that is empty now. What cannot be removed stays.
void remove_route_dir(const std::string& runtime_dir, const Route& route);

// Removes the directories of routes on whose sockets no process listens any more.
void remove_stale_routes(const std::string& runtime_dir);

// Gives the group access to a socket of this process. The socket's directory must be writable by root only.
Result<> give_socket(const std::string& path, const std::string& group);

}  // namespace wherry::daemon
