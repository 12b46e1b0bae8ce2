// The name of a way through Wherry for one migration: which host it leads to, and which of the ways there.
//
// A route is a path, the same on both hosts: RUNTIME_DIR/HOST/ID.sock. On HOST only QEMU listens there, on
// every other host only Wherry. HOST is the name that the source calls it by.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace wherry::daemon {

struct Route {
  std::string host;
  std::string id;

  // Of its text "HOST/ID", which may come from a peer: no part may lead out of the runtime directory.
  static Result<Route> parse(std::string_view text);
  // A new one; its id cannot be guessed. The interface of a link's address is this host's affair, and no part
  // of it.
  static Result<Route> make(std::string_view host);

  std::string text() const { return host + "/" + id; }
  std::string directory(const std::string& runtime_dir) const { return runtime_dir + "/" + host; }
  // Where the guest's memory goes.
  std::string path(const std::string& runtime_dir) const {
    return directory(runtime_dir) + "/" + id + ".sock";
  }
  // Where its disks go.
  std::string disks_path(const std::string& runtime_dir) const {
    return directory(runtime_dir) + "/" + id + "-nbd.sock";
  }

  // The longest of them. It may be longer than kLongestSocketPath.
  std::string longest_path(const std::string& runtime_dir) const;
  // An Error if it is.
  Result<> check_paths(const std::string& runtime_dir) const;

  bool operator==(const Route&) const = default;
};

}  // namespace wherry::daemon
