// The connection of another host to this host's libvirt.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "qemu-glue/daemon/caller.h"
#include "qemu-glue/daemon/config.h"

namespace wherry::daemon {

struct LibvirtConnection {
  Fd socket;
  bool read_only = false;
};

// An Error, to be sent to the caller, if it has no access to libvirt or does not call as root.
Result<> may_use_libvirt(const Caller& caller);

// Connects to libvirt for a caller that may use it, to the read-only socket if its access is read-only. An
// Error is to be sent to the caller.
Result<LibvirtConnection> connect_libvirt(const Config& config, const Caller& caller);

}  // namespace wherry::daemon
