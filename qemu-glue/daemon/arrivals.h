// The incoming migrations of this host. Each has its own `wherry receive` process. wherryd accepts all
// connections at its port and passes them to the process of their migration.
//
//     announce() ─▶ a hello of the same peer begins ─▶ its lanes ─▶ the process ends
//
// Only a route that a peer's wherryd has announced can begin. That wherryd announces what one of its
// administrators asked for, or a migration that goes through its gateway. Nothing exists for a route before
// it begins: no process, no directory.
//
// Thread-safe.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "qemu-glue/daemon/caller.h"
#include "qemu-glue/daemon/child.h"
#include "qemu-glue/daemon/config.h"
#include "qemu-glue/daemon/route.h"
#include "transport/wire/first_frame.h"

namespace wherry::daemon {

class Arrivals {
 public:
  Arrivals(const Config& config, std::string wherry) : config_(config), wherry_(std::move(wherry)) {}
  // Running migrations continue.
  ~Arrivals();

  struct Arriving {       // for this class; used with the lock held, but the child is the thread's own
    std::string peer;     // its name
    std::string address;  // that it began from
    std::unique_ptr<Child> child;  // null before it has started and after its end
    std::thread thread;
    bool over = false;
  };
  // Where a connection belongs. Use: admit(), then begin() if it begins its migration, or else take().
  struct Place {
    Route route;
    std::shared_ptr<Arriving> arriving;
    bool begins = false;
  };
  // These are for callers that are peers. An Error is to be sent to the caller. Only begin() takes its time.
  //
  // The caller announces the route that the frame names.
  Result<> announce(const Caller& caller, const FirstFrame& first);
  // Which migration a connection belongs to, by its first frame. The hello of an announced route begins one.
  Result<Place> admit(const Caller& caller, const FirstFrame& first);
  // Starts the migration's process, and passes the connection to it.
  Result<> begin(const Place& place, const Fd& connection);
  // Instead of begin().
  void give_up(const Place& place);
  // Passes the connection to the migration's process.
  Result<> take(const Place& place, const Fd& connection);
  // One object for each migration: route, peer (the address it comes from) and process.
  nlohmann::json list() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Announced {
    std::string peer;  // its name
    Clock::time_point until;
  };
  Result<> check(const Route& route) const;
  Result<> may_begin(const Route& route, const Caller& caller) const WHERRY_REQUIRES(mutex_);
  Result<> start_there(const Place& place);
  Result<> start(const Route& route, const std::shared_ptr<Arriving>& arriving);
  void watch(const Route& route, Arriving& arriving);
  void reap();

  const Config& config_;
  const std::string wherry_;
  mutable Mutex mutex_;
  std::map<std::string, Announced> announced_ WHERRY_GUARDED_BY(mutex_);                 // by route
  std::map<std::string, std::shared_ptr<Arriving>> arriving_ WHERRY_GUARDED_BY(mutex_);  // by route
  bool closing_ WHERRY_GUARDED_BY(mutex_) = false;
};

}  // namespace wherry::daemon
