// Who may use this host's libvirt from afar: a peer that is named in the configuration, as that says, and
// others as it says of those. A peer is known by its address.
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "qemu-glue/daemon/config.h"

namespace wherry::daemon {

// What a peer at that address may do.
LibvirtAccess libvirt_access(const Config& config, const std::string& address);

struct LibvirtConnection {
  Fd socket;
  bool read_only = false;
};

// A connection to libvirt for a peer at that address, to the read-only socket if that is all it may have. An
// Error is for the peer.
Result<LibvirtConnection> connect_libvirt(const Config& config, const std::string& address);

}  // namespace wherry::daemon
