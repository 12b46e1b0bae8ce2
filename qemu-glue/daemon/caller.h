// Who calls at the port of this host, as far as the connection itself tells: by its address and its port.
// Until there is authentication, that is all that anybody knows.
//
// A peer is whom the configuration names with that address. A port below 1024 can only be taken by root, so
// what root alone may ask for has to come from one: an ordinary user of a peer, or a guest behind its NAT,
// has the peer's address as well.
#pragma once

#include <string>

#include "base/result.h"
#include "qemu-glue/daemon/config.h"

namespace wherry::daemon {

struct Caller {
  std::string text;  // "host:port", for messages
  std::string host;  // numeric
  uint16_t port = 0;
  std::string peer;      // its name in the configuration; empty: it is not a peer
  bool is_here = false;  // this host itself
  LibvirtAccess libvirt = LibvirtAccess::none;

  static Caller of(int connection, const Config& config);
  // For `config`, whether it can have any business here.
  bool is_stranger(const Config& config) const {
    return peer.empty() && !is_here && config.others == LibvirtAccess::none;
  }
  // An Error to be sent to it if it does not call as root. `what`: what it asks for.
  Result<> check_root(const char* what) const;
};

}  // namespace wherry::daemon
