// The network paths that the tests of sessions go over: TCP, libfabric's `tcp` provider, and verbs where
// $WHERRY_VERBS_ADDRESS is an address of this machine's on an RDMA device (tests/verbs/vm).
#pragma once

#include <cstdlib>
#include <ostream>
#include <string>
#include <vector>

#include "transport/fabric_handshake.h"
#include "transport/socket.h"

namespace wherry::test {

struct Path {
  std::string name;
  std::string address = "127.0.0.1";
  FabricWish fabric{.use = FabricWish::Use::never};

  bool is_fabric() const { return fabric.use != FabricWish::Use::never; }
  Result<Listener> listen() const { return Listener::open({.path = {}, .host = address, .port = 0}); }
};

inline std::ostream& operator<<(std::ostream& out, const Path& path) {
  return out << path.name;
}

inline std::vector<Path> fabric_paths() {
  std::vector<Path> paths;
  paths.push_back({.name = "fabric", .fabric = {.use = FabricWish::Use::require, .provider = "tcp"}});
  if (const char* verbs = std::getenv("WHERRY_VERBS_ADDRESS")) {
    paths.push_back({.name = "verbs", .address = verbs, .fabric = {.use = FabricWish::Use::require}});
  }
  return paths;
}

inline std::vector<Path> all_paths() {
  std::vector<Path> paths = fabric_paths();
  paths.insert(paths.begin(), {.name = "tcp"});
  return paths;
}

}  // namespace wherry::test
