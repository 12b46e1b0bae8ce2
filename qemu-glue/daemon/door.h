// Listens at the host's one port and dispatches each connection by its first frame.
//
//   hello, lane_hello ─▶ Arrivals: the process of its migration
//   service           ─▶ this host's libvirt, for peers with access (libvirt_access.h), or only a welcome
//   anything else     ─▶ refused, with the reason
//
// Thread-safe.
#pragma once

#include <atomic>
#include <memory>
#include <thread>

#include "base/result.h"
#include "qemu-glue/daemon/arrivals.h"
#include "qemu-glue/daemon/config.h"
#include "transport/socket/connections.h"
#include "transport/socket/listener.h"

namespace wherry::daemon {

class Door {
 public:
  // Listens when it returns. The config must have `listen`.
  static Result<std::unique_ptr<Door>> open(const Config& config, Arrivals& arrivals);
  ~Door();

  const Listener& listener() const { return listener_; }
  // Number of remote connections to this host's libvirt.
  size_t libvirt_connections() const { return libvirt_connections_; }

 private:
  Door(const Config& config, Arrivals& arrivals, Listener listener);
  void receive(Fd connection);
  void serve_libvirt(Fd connection, const std::string& peer);

  const Config& config_;
  Arrivals& arrivals_;
  const Listener listener_;
  std::atomic<size_t> libvirt_connections_ = 0;
  Connections connections_;
  std::thread acceptor_;
};

}  // namespace wherry::daemon
