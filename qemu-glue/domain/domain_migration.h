// The migration of a libvirt domain from this host to another one, as virsh would do it but for the way that
// its memory takes:
//
//   connect ─▶ find the domain ─▶ connect there ─▶ wherryd: make a route ─▶ migrate, and look after it ─▶
//   figures
//
// The route is made first and goes to libvirt as a unix:// URI, however the destination's libvirt is reached.
// With p2p only this host's libvirt connects there; offline there is nothing for a route to carry. libvirt
// decides who owns the guest.
//
// run() is called once, by one thread, while an EventLoop runs; cancel() and progress() by any.
#pragma once

#include <chrono>
#include <future>
#include <mutex>
#include <optional>
#include <string>

#include "qemu-glue/domain/destination.h"
#include "qemu-glue/domain/job_stats.h"
#include "qemu-glue/domain/libvirt.h"
#include "qemu-glue/domain/migrate_call.h"
#include "qemu-glue/outcome/outcome.h"

namespace wherry::domain {

struct MigrationProgress {
  std::optional<Outcome> outcome;  // none: it runs
  std::string error;
  JobStats stats;
  std::optional<double> left_s;
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

  // An Error says where the guest is, once the migration has begun.
  Result<> run();
  // Has libvirt abort the migration, after which run() returns. False if it has not begun: then it will not,
  // but run() may still be waiting for a host.
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
  bool aborted_ = false;  // by somebody else, as libvirt says

  mutable std::mutex mutex_;  // guards what follows
  bool begun_ = false;
  std::string cancelled_;  // why; empty if it is not
  MigrationProgress progress_;
};

}  // namespace wherry::domain
