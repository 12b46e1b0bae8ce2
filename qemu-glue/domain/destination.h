// The host that a domain goes to, as an operator names it.
//
//   NAME                        a peer of this host's wherryd; its libvirt is reached through the gateway
//   DRIVER+TRANSPORT://HOST/…   the URI of a libvirt, as virsh takes it (https://libvirt.org/uri.html)
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace wherry::domain {

struct Destination {
  std::string libvirt;       // the URI of its libvirt
  std::string host;          // as a URI has it, without user and port; empty where the URI names none
  bool is_peer = false;      // it was a NAME
  std::string peers_socket;  // of the gateway to it

  // `runtime_dir` is that of the wherryd.
  static Result<Destination> parse(std::string_view text, std::string_view runtime_dir);
};

}  // namespace wherry::domain
