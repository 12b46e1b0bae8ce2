// The network paths that the tests of sessions go over: TCP, libfabric's `tcp` provider, verbs where
// $WHERRY_VERBS_ADDRESS is an address of this machine's on an RDMA device, and verbs to another machine where
// $WHERRY_FAR_END is the address of one that runs far_end (tests/verbs/vm).
#pragma once

#include <cstdlib>
#include <ostream>
#include <string>
#include <vector>

#include "transport/fabric/fabric_handshake.h"

namespace wherry::test {

struct Path {
  std::string name;
  std::string address = "127.0.0.1";
  FabricWish fabric{.use = FabricWish::Use::never};
  std::string far_end{};  // the host of the destination, if it is another

  bool is_fabric() const { return fabric.use != FabricWish::Use::never; }
};

inline std::ostream& operator<<(std::ostream& out, const Path& path) {
  return out << path.name;
}

// With both ends in this process.
inline std::vector<Path> fabric_paths() {
  std::vector<Path> paths;
  paths.push_back({.name = "fabric", .fabric = {.use = FabricWish::Use::require, .provider = "tcp"}});
  if (const char* verbs = std::getenv("WHERRY_VERBS_ADDRESS")) {
    paths.push_back({.name = "verbs", .address = verbs, .fabric = {.use = FabricWish::Use::require}});
  }
  return paths;
}

inline std::vector<Path> session_fabric_paths() {
  std::vector<Path> paths = fabric_paths();
  if (const char* host = std::getenv("WHERRY_FAR_END"))
    paths.push_back({.name = "two_hosts", .fabric = {.use = FabricWish::Use::require}, .far_end = host});
  return paths;
}

inline std::vector<Path> all_paths(std::vector<Path> fabrics = fabric_paths()) {
  fabrics.insert(fabrics.begin(), {.name = "tcp"});
  return fabrics;
}

}  // namespace wherry::test
