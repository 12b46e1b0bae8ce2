// Which remote hosts have access to this host's libvirt: each peer as its `libvirt` in the configuration
// says, all others as `others` says. A peer is recognised by its address.
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "qemu-glue/daemon/config.h"

namespace wherry::daemon {

// The access of a host at that address.
LibvirtAccess libvirt_access(const Config& config, const std::string& address);

struct LibvirtConnection {
  Fd socket;
  bool read_only = false;
};

// Connects to libvirt for a host at that address, to the read-only socket if its access is read-only. An
// Error is to be sent to the peer.
Result<LibvirtConnection> connect_libvirt(const Config& config, const std::string& address);

}  // namespace wherry::daemon
