// The outgoing routes of this host. Each has a `wherry send` process that has a session with the far host's
// wherryd and listens for QEMU at the route's path.
//
//   make() ─▶ `wherry send` connects and listens ─▶ QEMU connects and migrates ─▶ `wherry send` and route end
//
// A route also ends if it stays unused for a while: before the first connection, and between the copying of
// the disks and QEMU's connection. Thread-safe.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "qemu-glue/daemon/child.h"
#include "qemu-glue/daemon/config.h"
#include "qemu-glue/daemon/route.h"

namespace wherry::daemon {

class Routes {
 public:
  // `wherry`: path of the wherry binary.
  Routes(const Config& config, std::string wherry) : config_(config), wherry_(std::move(wherry)) {}
  // Running migrations continue; unused routes end.
  ~Routes();

  // Makes a route for a migration URI: wherry://HOST…, where HOST is a peer's name or an address. When it
  // returns, QEMU can connect to the route's paths.
  Result<Route> make(const std::string& uri);
  // Ends a route, if it exists, unless it is used within a few seconds.
  void drop(const Route& route);
  // Sets the bandwidth limit of a route, in bytes per second; 0: no limit of its own. The limit of the whole
  // host still applies.
  Result<> set_bandwidth(const std::string& path, uint64_t bandwidth);
  // One object for each route: path, disks, peer, uri, process, used, and the progress of its migration.
  nlohmann::json list() const;

 private:
  struct Leaving {  // used with the lock held; but the child is the thread's own while that runs
    Route route;
    std::string uri;
    uint64_t bandwidth = 0;  // the route's own limit, in bytes per second; 0: none
    std::unique_ptr<Child> child;
    nlohmann::json progress;
    bool used = false;
    std::chrono::seconds patience{0};  // how long the route can stay unused
    std::chrono::steady_clock::time_point unused_until;
    bool over = false;
    std::thread thread;
  };
  Result<std::unique_ptr<Child>> start(const Route& route, const Uri& uri);
  void watch(Leaving& leaving);
  void hurry(Leaving& leaving) WHERRY_REQUIRES(mutex_);
  void share_out() WHERRY_REQUIRES(mutex_);
  void reap();

  const Config& config_;
  const std::string wherry_;
  mutable Mutex mutex_;
  std::map<std::string, std::unique_ptr<Leaving>> leaving_ WHERRY_GUARDED_BY(mutex_);  // by path
  bool closing_ WHERRY_GUARDED_BY(mutex_) = false;
};

}  // namespace wherry::daemon
