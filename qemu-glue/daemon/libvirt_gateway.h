// The gateway to a peer's libvirt: the socket RUNTIME_DIR/PEER/libvirt-sock. Connections to it go through the
// peer's wherryd to the peer's libvirt, and migrations on the way get a route (gateway/rpc_gateway.h).
//
// Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "base/result.h"
#include "qemu-glue/daemon/config.h"
#include "qemu-glue/daemon/routes.h"
#include "transport/socket/connections.h"
#include "transport/socket/listener.h"

namespace wherry::daemon {

class LibvirtGateway {
 public:
  // Listens when it returns. `peer` is one of the config's peers.
  static Result<std::unique_ptr<LibvirtGateway>> open(const Config& config, const Peer& peer, Routes& routes);
  ~LibvirtGateway();

  size_t connections() const { return connections_.count(); }

 private:
  LibvirtGateway(const Config& config, const Peer& peer, Routes& routes, Listener listener);
  void serve(const Fd& client);

  const Config& config_;
  const Peer& peer_;
  Routes& routes_;
  const Listener listener_;
  Connections connections_;
  std::thread acceptor_;
};

}  // namespace wherry::daemon
