// The destination of a domain, as an operator gives it.
//
//   NAME                        a peer of this host's wherryd; its libvirt is reached through the gateway
//   DRIVER+TRANSPORT://HOST/…   the URI of a libvirt, as for virsh (https://libvirt.org/uri.html)
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace wherry::domain {

struct Destination {
  std::string libvirt;       // URI of the destination's libvirt
  std::string host;          // host in URI syntax, without user and port; empty if the URI has none
  bool is_peer = false;      // the operator gave the NAME of a peer
  std::string peers_socket;  // path of the gateway to that peer's libvirt

  // `runtime_dir` is wherryd's.
  static Result<Destination> parse(std::string_view text, std::string_view runtime_dir);
};

}  // namespace wherry::domain
