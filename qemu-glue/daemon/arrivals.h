// The incoming migrations of this host. Each has its own `wherry receive` process. wherryd accepts all
// connections at its port and passes them to the process of their migration.
//
// Thread-safe.
#pragma once

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
#include "transport/wire/first_frame.h"

namespace wherry::daemon {

class Arrivals {
 public:
  Arrivals(const Config& config, std::string wherry) : config_(config), wherry_(std::move(wherry)) {}
  // Running migrations continue.
  ~Arrivals();

  // Passes a connection to the migration whose route its first frame names; a hello begins a new migration.
  // An Error is to be sent to the peer.
  Result<> take(const Fd& connection, const FirstFrame& first);
  // One object for each migration: route, peer (the address it comes from) and process.
  nlohmann::json list() const;

 private:
  struct Arriving {  // used with the lock held; but the child is the thread's own while that runs
    std::string peer;
    std::unique_ptr<Child> child;  // null before it has started and after its end
    std::thread thread;
    bool over = false;
  };
  Result<> may_begin(const Route& route, FrameType first) const WHERRY_REQUIRES(mutex_);
  Result<> begin(const Route& route, const std::shared_ptr<Arriving>& arriving);
  Result<> start(const Route& route, const std::shared_ptr<Arriving>& arriving);
  void watch(const Route& route, Arriving& arriving);
  void reap();

  const Config& config_;
  const std::string wherry_;
  mutable Mutex mutex_;
  std::map<std::string, std::shared_ptr<Arriving>> arriving_ WHERRY_GUARDED_BY(mutex_);  // by route
  bool closing_ WHERRY_GUARDED_BY(mutex_) = false;
};

}  // namespace wherry::daemon
