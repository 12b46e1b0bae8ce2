// The configuration of wherryd, from /etc/wherry/wherry.toml or the command line.
//
// docs/wherry.toml, which the package installs, documents every key. An unknown key, or a value of the wrong
// type or out of range, is an error that names the key and its line.
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

// Access to this host's libvirt.
enum class LibvirtAccess { none, read_only, manage };

struct Peer {
  std::string name;
  // Its addresses, numeric (addresses.h): they decide who it is. Lanes are spread over them.
  std::vector<Endpoint> hosts;
  std::optional<LibvirtAccess> libvirt = {};  // nothing: none, and wherryd says so when it starts
  std::string uri = {};  // wherry:// URI for migrations to it that come without one; can be empty
};

struct Config {
  std::optional<Uri> listen;  // nothing: only outgoing migrations
  bool insecure = false;      // allows guest memory to cross a network in the clear
  std::string runtime_dir = "/run/wherry";
  std::string qemu_user;       // user that QEMU runs as here; empty: the user that wherryd runs as (root)
  std::string administrators;  // group that may use the gateways and make routes; empty: only root
  std::string trace;           // file to which migrations add their events; empty: none
  std::string libvirt = "/run/libvirt/libvirt-sock";  // socket of this host's libvirt
  LibvirtAccess others = LibvirtAccess::none;         // access of hosts that are not among the peers
  std::chrono::seconds route_timeout{60};             // how long a route can stay unused
  uint64_t bandwidth = 0;  // limit of all outgoing migrations together, in bytes per second; 0: no limit
  std::map<std::string, Peer> peers;

  static Result<Config> read(const std::string& file);
  // Whether any address is beyond this host's loopback.
  bool crosses_network() const;
  // An Error if wherryd cannot run with this configuration.
  Result<> check() const;
};

// Parses "NAME=ADDR[:PORT][,ADDR2…][,libvirt=ACCESS]".
Result<Peer> parse_peer(const std::string& text);
// The socket's path of a local libvirt URI: qemu:///system or qemu+unix:///system?socket=PATH.
Result<std::string> libvirt_socket(const std::string& uri);

}  // namespace wherry::daemon
