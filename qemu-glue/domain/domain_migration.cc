#include "qemu-glue/domain/domain_migration.h"

#include <libvirt/virterror.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <chrono>

#include "base/start_thread.h"
#include "qemu-glue/daemon/errands.h"
#include "qemu-glue/domain/eta.h"

namespace wherry::domain {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLook{250};

// The domain's job, if it is an outgoing migration; else nothing.
std::optional<TypedParams> job_of(const Domain& domain) {
  int type = VIR_DOMAIN_JOB_NONE;
  TypedParams params;
  if (virDomainGetJobStats(domain.get(), &type, params.make(), params.made(), 0) < 0) return std::nullopt;
  if (type == VIR_DOMAIN_JOB_NONE || !is_migration_out(params)) return std::nullopt;
  return params;
}

// What the operator asked for during the migration: postcopy, suspending the guest. Each is tried once.
class Intervention {
 public:
  explicit Intervention(const MigrateOptions& how) : how_(how), begin_(Clock::now()) {}

  void look(const Domain& domain, const JobStats& stats) {
    const bool late = how_.timeout && Clock::now() - begin_ >= *how_.timeout;
    // The second pass begins when all of memory was sent once.
    const bool first_pass_over = how_.postcopy.after_precopy && stats.passes >= 2;
    if (!postcopy_ && (first_pass_over || (late && how_.postcopy.at_timeout))) {
      postcopy_ = true;
      if (virDomainMigrateStartPostCopy(domain.get(), 0) < 0)
        spdlog::warn("cannot start postcopy: {}", last_error());
    }
    if (!suspended_ && late && !how_.postcopy.at_timeout) {
      suspended_ = true;
      if (virDomainSuspend(domain.get()) < 0) spdlog::warn("cannot suspend the guest: {}", last_error());
    }
  }

 private:
  const MigrateOptions& how_;
  const Clock::time_point begin_;
  bool postcopy_ = false;
  bool suspended_ = false;
};

}  // namespace

Result<> DomainMigration::run() {
  Result<> done = prepare();
  if (done) done = begin();
  Outcome outcome = Outcome::failed;  // of a migration that never began
  if (done) {
    const auto begin = Clock::now();
    std::packaged_task<Result<>()> migrates([this] { return migrate(); });
    auto migrating = migrates.get_future();
    auto thread = start_thread("migrate", std::move(migrates));
    if (thread) {
      look_after(migrating);
      done = migrating.get();
      thread->join();
    } else {
      done = pass_on(thread);
    }
    const Ended ended = done ? Ended{Outcome::completed, ""} : where_the_guest_is();
    outcome = ended.outcome;
    if (done) read_final_stats(Clock::now() - begin);
    Lock lock(mutex_);
    if (!done) done = fail("{}; {}", cancelled_.empty() ? done.error().message : cancelled_, ended.detail);
  }
  Lock lock(mutex_);
  if (outcome == Outcome::failed && (!cancelled_.empty() || aborted_)) outcome = Outcome::cancelled;
  progress_.outcome = outcome;
  progress_.left_s.reset();
  if (!done) progress_.error = done.error().message;
  return done;
}

bool DomainMigration::cancel(const std::string& why) {
  Lock lock(mutex_);
  cancelled_ = why;
  return begun_;
}

MigrationProgress DomainMigration::progress() const {
  Lock lock(mutex_);
  return progress_;
}

Result<> DomainMigration::prepare() {
  auto here = connect(options_.connect);
  if (!here) return pass_on(here);
  here_ = std::move(*here);
  auto domain = find_domain(here_, options_.domain);
  if (!domain) return pass_on(domain);
  domain_ = std::move(*domain);
  const Destination& to = options_.to;
  if (to.is_peer) {
    // Checked here for clearer errors: libvirt would only report that there is no socket.
    auto answer = daemon::ask(options_.runtime_dir, {{"command", "status"}});
    if (!answer) return pass_on(answer);
    if (::access(to.peers_socket.c_str(), F_OK) < 0) {
      return fail(
          "wherryd on this host has no peer {0}: start it with --peer {0}=ADDRESS, or with "
          "[peers.{0}] in its configuration",
          to.host);
    }
  }
  if (!options_.how.p2p) {
    auto there = connect(to.libvirt);
    if (!there) return pass_on(there);
    there_ = std::move(*there);
  }
  return options_.how.offline ? Result<>() : find_ways();
}

Result<> DomainMigration::find_ways() {
  auto answer = daemon::ask(options_.runtime_dir, {{"command", "route"}, {"uri", options_.via}});
  if (!answer) return pass_on(answer);
  const auto unix_uri = [&](const char* key) {
    const auto path = answer->find(key);
    return path != answer->end() && path->is_string() ? "unix://" + path->get<std::string>() : "";
  };
  ways_.memory = unix_uri("path");
  if (options_.how.storage.copies()) ways_.disks = unix_uri("disks");
  if (ways_.memory.empty()) return fail("wherryd made no route to {}", options_.via);
  return {};
}

Result<> DomainMigration::begin() {
  Lock lock(mutex_);
  if (!cancelled_.empty()) return fail("{}", cancelled_);
  begun_ = true;
  return {};
}

// Runs in a thread of its own.
Result<> DomainMigration::migrate() {
  const TypedParams params = migrate_params(options_.how, ways_);
  const unsigned flags = migrate_flags(options_.how);
  if (options_.how.p2p) {
    const char* to = options_.to.libvirt.c_str();
    if (virDomainMigrateToURI3(domain_.get(), to, params.data(), params.size(), flags) == 0) return {};
  } else {
    arrived_.reset(virDomainMigrate3(domain_.get(), there_.get(), params.data(), params.size(), flags));
    if (arrived_) return {};
  }
  aborted_ = virGetLastErrorCode() == VIR_ERR_OPERATION_ABORTED;
  return fail("{}", last_error());
}

void DomainMigration::look_after(const std::future<Result<>>& migrating) {
  const auto begin = Clock::now();
  Eta eta;
  Intervention intervention(options_.how);
  bool aborted = false;
  bool told = false;
  while (migrating.wait_for(kLook) != std::future_status::ready) {
    auto job = job_of(domain_);
    if (!job) continue;
    JobStats stats = JobStats::read(*job);
    stats.downtime_ms.reset();  // still an expectation
    const std::chrono::duration<double> now = Clock::now() - begin;
    bool cancelled = false;
    {
      Lock lock(mutex_);
      progress_.stats = stats;
      progress_.left_s = eta.update(now.count(), stats.seconds_left());
      cancelled = !cancelled_.empty();
    }
    if (!cancelled) {
      intervention.look(domain_, stats);
    } else if (!aborted) {
      aborted = virDomainAbortJob(domain_.get()) == 0;
      if (!aborted && !std::exchange(told, true))
        spdlog::warn("cannot abort the migration: {}", last_error());
    }
  }
}

// Both libvirts have the figures: the source's while it has the domain, the destination's for clients that
// are connected to it. If neither can be asked, only `took` is known.
void DomainMigration::read_final_stats(std::chrono::duration<double> took) {
  JobStats stats;
  stats.elapsed_s = took.count();
  for (const Domain* domain : {&arrived_, &domain_}) {
    int type = VIR_DOMAIN_JOB_NONE;
    TypedParams params;
    constexpr unsigned kFlags = VIR_DOMAIN_JOB_STATS_COMPLETED | VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED;
    // An offline migration is not a job: the figures would be those of an earlier migration.
    if (options_.how.offline || !*domain ||
        virDomainGetJobStats(domain->get(), &type, params.make(), params.made(), kFlags) < 0 ||
        type != VIR_DOMAIN_JOB_COMPLETED)
      continue;
    stats = JobStats::read(params);
    break;
  }
  Lock lock(mutex_);
  progress_.stats = stats;
}

// A guest that is not at the source can be anywhere, so the outcome is unknown then.
Ended DomainMigration::where_the_guest_is() const {
  int state = VIR_DOMAIN_NOSTATE;
  int why = 0;
  if (virDomainGetState(domain_.get(), &state, &why, 0) < 0) {
    return {Outcome::unknown, "it is not known where the guest is: " + last_error()};
  }
  switch (state) {
    case VIR_DOMAIN_RUNNING:
      return {Outcome::failed, "the guest still runs at the source"};
    case VIR_DOMAIN_PAUSED:
      if (why == VIR_DOMAIN_PAUSED_POSTCOPY || why == VIR_DOMAIN_PAUSED_POSTCOPY_FAILED) {
        return {Outcome::unknown,
                "postcopy was interrupted, and the guest's memory is on both hosts: resume it with "
                "virsh migrate --postcopy --postcopy-resume"};
      }
      return {Outcome::failed, "the guest is paused at the source"};
    case VIR_DOMAIN_PMSUSPENDED:
      return {Outcome::failed, "the guest sleeps at the source"};
    default:
      return {Outcome::unknown, "the domain does not run at the source: look for it at the destination"};
  }
}

}  // namespace wherry::domain
