// Listens at the host's one port and dispatches each connection by who calls (caller.h) and its first frame.
//
//   hello, lane_hello  ─▶ Arrivals: the process of its migration
//   service "route"    ─▶ Arrivals: a peer's wherryd announces a route
//   service "libvirt"  ─▶ this host's libvirt, for callers with access (libvirt_access.h), and only what a
//                         migration needs (gateway/migration_calls.h)
//   service "alive"    ─▶ only a welcome
//   anything else      ─▶ refused, with the reason
//
// Until a connection has said what it is for, it takes neither a thread nor memory (lobby.h). What may take
// long then has a thread of its own; how many, bounds.h says.
//
// Thread-safe.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "base/result.h"
#include "qemu-glue/daemon/arrivals.h"
#include "qemu-glue/daemon/config.h"
#include "qemu-glue/daemon/lobby.h"
#include "qemu-glue/daemon/refusals.h"
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
  void receive(Fd connection, const Caller& caller, const FirstFrame& first);
  Result<> answer(Fd& connection, const Caller& caller, const FirstFrame& first);
  Result<> serve(Fd& connection, const Caller& caller, std::function<Result<>(Fd& connection)> work);
  Result<> serve_libvirt(Fd& connection, const Caller& caller);

  const Config& config_;
  Arrivals& arrivals_;
  const Listener listener_;
  Refusals refusals_;
  std::atomic<size_t> libvirt_connections_ = 0;
  Mutex mutex_;
  std::map<std::string, size_t> served_ WHERRY_GUARDED_BY(mutex_);  // connections with a thread, by peer
  Lobby lobby_;
  Connections connections_;
  std::thread acceptor_;
};

}  // namespace wherry::daemon
