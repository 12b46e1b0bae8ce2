// The routes that leave this host: each a `wherry send` that has its session with the far host's wherryd
// already, and listens for QEMU at the route's path.
//
//   make() ─▶ `wherry send` connects and listens ─▶ QEMU comes and migrates ─▶ it ends, and the route with it
//
// A route that nobody uses for a while ends as well: before QEMU comes, and between the copying of disks and
// that. Thread-safe.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "qemu-glue/daemon/child.h"
#include "qemu-glue/daemon/config.h"
#include "qemu-glue/daemon/route.h"

namespace wherry::daemon {

class Routes {
 public:
  // `wherry`: path of the program.
  Routes(const Config& config, std::string wherry) : config_(config), wherry_(std::move(wherry)) {}
  // Migrations that are under way go on; routes that nobody uses yet end.
  ~Routes();

  // A route for a migration URI: wherry://HOST…, where HOST is a peer's name or an address. Returns it once
  // QEMU may connect to its paths.
  Result<Route> make(const std::string& uri);
  // Ends a route that is not used within a few seconds, if it is there.
  void drop(const Route& route);
  // Bytes a second that a route's lanes send at most from now on, within what the host's others leave it; 0:
  // no limit of its own.
  Result<> set_bandwidth(const std::string& path, uint64_t bandwidth);
  // One object for each: path, disks, peer, uri, and what its migration has come to.
  nlohmann::json list() const;

 private:
  struct Leaving {
    Route route;
    std::string uri;
    uint64_t bandwidth = 0;  // its own limit
    std::unique_ptr<Child> child;
    nlohmann::json progress;
    bool used = false;
    std::chrono::seconds patience{0};  // how long it may be unused
    std::chrono::steady_clock::time_point unused_until;
    bool over = false;
    std::thread thread;
  };
  Result<std::unique_ptr<Child>> start(const Route& route, const Uri& uri);
  void watch(Leaving& leaving);
  static void hurry(Leaving& leaving);
  void share_out();
  void reap();

  const Config& config_;
  const std::string wherry_;
  mutable std::mutex mutex_;
  std::map<std::string, std::unique_ptr<Leaving>> leaving_;  // by path
  bool closing_ = false;
};

}  // namespace wherry::daemon
