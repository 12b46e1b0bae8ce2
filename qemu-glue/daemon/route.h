// The name of one migration's route through Wherry: the destination host, and an id that tells it from
// others.
//
// A route is a directory with two sockets, at the same path on both hosts: RUNTIME_DIR/HOST/ID. On HOST only
// QEMU listens there, on every other host only Wherry. HOST is the destination's name at the source.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace wherry::daemon {

struct Route {
  std::string host;
  std::string id;

  // Parses "HOST/ID", which can come from a peer. An Error if a part could lead out of the runtime directory.
  static Result<Route> parse(std::string_view text);
  // A new route with an unguessable id. The interface of a link-local address is left out, because it has no
  // meaning on the other host.
  static Result<Route> make(std::string_view host);

  std::string text() const { return host + "/" + id; }
  std::string directory(const std::string& runtime_dir) const { return runtime_dir + "/" + text(); }
  // The socket for the guest's memory.
  std::string path(const std::string& runtime_dir) const { return directory(runtime_dir) + "/ram.sock"; }
  // The socket for the guest's disks (NBD).
  std::string disks_path(const std::string& runtime_dir) const {
    return directory(runtime_dir) + "/nbd.sock";
  }

  // An Error if a path exceeds kLongestSocketPath. Both have the same length.
  Result<> check_paths(const std::string& runtime_dir) const;

  bool operator==(const Route&) const = default;
};

}  // namespace wherry::daemon
