// What a wherryd is told: by /etc/wherry/wherry.toml, or by its command line.
//
// Every key is documented in docs/wherry.toml, which is also what the package installs. An unknown key, a
// value of another type or out of range is an error that names the key and its line.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "qemu-glue/uri.h"
#include "transport/socket/endpoint.h"

namespace wherry::daemon {

inline constexpr const char* kConfigFile = "/etc/wherry/wherry.toml";

// What a peer may do with this host's libvirt.
enum class LibvirtAccess { none, read_only, manage };

struct Peer {
  std::string name;
  std::vector<Endpoint> hosts;  // its paths; lanes are spread over them
  LibvirtAccess libvirt = LibvirtAccess::manage;
  std::string uri = {};  // for migrations to it that name no wherry:// URI themselves; may be empty
};

struct Config {
  std::optional<Uri> listen;  // none: only migrations that leave
  bool insecure = false;      // guest memory may cross a network in the clear
  std::string runtime_dir = "/run/wherry";
  std::string group;  // may make sockets for routes and use the gateway; empty: root alone
  std::string libvirt = "/run/libvirt/libvirt-sock";  // socket of this host's libvirt
  LibvirtAccess others = LibvirtAccess::read_only;    // peers that are not named
  std::chrono::seconds route_timeout{60};             // a route that nobody uses goes
  uint64_t bandwidth = 0;  // bytes a second of all migrations that leave; 0: no limit
  std::map<std::string, Peer> peers;

  static Result<Config> read(const std::string& file);
  // Whether anything goes beyond this host's loopback.
  bool crosses_network() const;
  // Whether it can be run with.
  Result<> check() const;
};

// "NAME=ADDR[:PORT][,ADDR2…]".
Result<Peer> parse_peer(const std::string& text);
// A libvirt URI of this host, as far as it says where the socket is: qemu:///system, or
// qemu+unix:///system?socket=PATH.
Result<std::string> libvirt_socket(const std::string& uri);

}  // namespace wherry::daemon
