// Migrates a libvirt domain from this host to another one, as virsh does, except that the memory goes through
// Wherry:
//
//   connect ─▶ find the domain ─▶ connect there ─▶ have wherryd make a route ─▶ migrate ─▶ read the figures
//
// libvirt gets the route as a unix:// URI, however the destination's libvirt is reached. With p2p only this
// host's libvirt connects to the destination's. An offline migration has no route. libvirt decides who has
// the guest.
//
// run() is called once, by one thread, while an EventLoop runs; cancel() and progress() are thread-safe.
#pragma once

#include <chrono>
#include <future>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "qemu-glue/domain/destination.h"
#include "qemu-glue/domain/job_stats.h"
#include "qemu-glue/domain/libvirt.h"
#include "qemu-glue/domain/migrate_call.h"
#include "qemu-glue/outcome/outcome.h"

namespace wherry::domain {

struct MigrationProgress {
  std::optional<Outcome> outcome;  // nothing while the migration runs
  std::string error;
  JobStats stats;
  std::optional<double> left_s;  // estimated seconds to the end; nothing if unknown
};

class DomainMigration {
 public:
  struct Options {
    std::string connect;  // URI of this host's libvirt
    std::string domain;   // name or UUID
    Destination to;
    std::string via;  // wherry://…
    std::string runtime_dir;
    MigrateOptions how;
  };

  explicit DomainMigration(Options options) : options_(std::move(options)) {}

  // Once the migration has begun, an Error also says where the guest is.
  Result<> run();
  // Makes libvirt abort the migration; then run() returns. False if it has not begun: then it never will, but
  // run() may still be waiting for a host.
  bool cancel(const std::string& why);
  MigrationProgress progress() const;

 private:
  Result<> prepare();
  Result<> find_ways();
  Result<> begin();
  Result<> migrate();
  void look_after(const std::future<Result<>>& migrating);
  void read_final_stats(std::chrono::duration<double> took);
  Ended where_the_guest_is() const;

  const Options options_;
  Connection here_;
  Connection there_;
  Domain domain_;
  Domain arrived_;
  Ways ways_;
  bool aborted_ = false;  // libvirt reports that the job was aborted; written by migrate()'s thread

  mutable Mutex mutex_;
  bool begun_ WHERRY_GUARDED_BY(mutex_) = false;
  std::string cancelled_ WHERRY_GUARDED_BY(mutex_);  // the reason of cancel(); empty if it was not called
  MigrationProgress progress_ WHERRY_GUARDED_BY(mutex_);
};

}  // namespace wherry::domain
