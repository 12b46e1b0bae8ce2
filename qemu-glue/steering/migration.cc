#include "qemu-glue/steering/migration.h"

#include <unistd.h>

#include <thread>
#include <utility>

#include "base/errno.h"
#include "base/printable.h"
#include "base/start_thread.h"
#include "qemu-glue/convergence/qmp_source.h"
#include "qemu-glue/memory/find_guest_ram.h"
#include "qemu-glue/monitor/incoming.h"
#include "qemu-glue/monitor/qemu_process.h"
#include "qemu-glue/steering/kept_stopped.h"
#include "qemu-glue/steering/migrating_source.h"
#include "qemu-glue/steering/socket_directory.h"
#include "transport/socket/endpoint.h"

namespace wherry {
namespace {

// Two QEMUs' monitors are asked before the guest goes on (bench/downtime --door migrate).
constexpr convergence::Door kByMonitors{.takes = {.start = 0.001}};

}  // namespace

Migration::Migration(Options options) : options_(std::move(options)) {
  report_.uri = options_.via.text;
}
Migration::~Migration() = default;

Result<> Migration::run() {
  auto done = connect();
  if (done) done = prepare();
  if (done) done = carry();
  if (!done && handover_ && !is_given_up()) {
    if (const auto there = handover_->found_there()) {
      handover_->given_up(true);
      done = fail("{}; {}", done.error().message, *there);
    }
  }
  if (!done && !is_given_up()) undo();
  const auto kept = done || is_given_up() || !source_.monitor ? std::nullopt : kept_stopped(*source_.monitor);
  if (kept) done = fail("{}; {}", done.error().message, *kept);
  const Report seen = report();
  Lock lock(mutex_);
  report_ = seen;
  sender_.reset();
  receiver_.reset();
  // What neither end knows, or a guest that the source has given up and that does not go on.
  const bool nowhere = is_given_up() || kept || (seen.ended && seen.ended->outcome == Outcome::unknown);
  const Outcome outcome = done                   ? Outcome::completed
                          : nowhere              ? Outcome::unknown
                          : cancelled_by_others_ ? Outcome::cancelled
                                                 : Outcome::failed;
  report_.ended = Ended{outcome, done ? "" : done.error().message};
  const auto downtime = handover_ ? handover_->downtime_ms() : std::nullopt;
  if (downtime) report_.downtime.switchover_ms = downtime;
  return done;
}

Result<> Migration::connect() {
  for (auto [path, end] : {std::pair{&options_.from, &source_}, std::pair{&options_.to, &destination_}}) {
    auto connected = Qmp::connect(*path);
    if (!connected) return pass_on(connected);
    end->monitor = std::move(*connected);
    end->user = user_of(end->monitor->peer_pid()).value_or(::geteuid());
  }
  {
    Lock lock(mutex_);
    handover_.emplace(GuestHandover::side(*source_.monitor), GuestHandover::side(*destination_.monitor));
  }
  return handover_->begin(options_.to);
}

Result<> Migration::prepare() {
  auto here = read_settings(*source_.monitor);
  if (!here) return pass_on(here);
  auto there = read_settings(*destination_.monitor);
  if (!there) return pass_on(there);
  auto settled = settle(*here, *there);
  if (!settled) return pass_on(settled);
  if (auto set = write_settings(*destination_.monitor, settled->destination); !set)
    return fail("the destination's QEMU cannot be set as the source's is: {}", set.error().message);
  before_ = std::move(settled->before);
  begun_ = true;
  return write_settings(*source_.monitor, settled->source);
}

// A QEMU that was started with -incoming defer is told where to wait; another waits already.
Result<Endpoint> Migration::destination_socket(const std::string& incoming) {
  auto known = destination_.monitor->execute("query-migrate");
  if (!known) return pass_on(known);
  if (const auto waits = qemu::incoming_addresses(*known); !waits.empty()) {
    Endpoint at = waits.front();
    // QEMU names the address it listens on; one for all addresses is reached on loopback.
    if (at.host == "0.0.0.0" || at.host == "::") at.host = "localhost";
    if (!at.is_unix()) return at;
    at.path = path_of(destination_.monitor->peer_pid(), at.path);
    if (::access(at.path.c_str(), F_OK) == 0) return at;
    return fail("the QEMU at {} waits at {}, but not at {} ({}): give it an absolute path", options_.to,
                printable(waits.front().path), printable(at.path), reason(errno));
  }
  Endpoint at{.path = incoming, .host = {}, .port = 0};
  auto told = destination_.monitor->execute("migrate-incoming", {{"uri", "unix:" + at.path}});
  if (!told) return pass_on(told);
  return at;
}

Result<> Migration::carry() {
  auto directory = SocketDirectory::make(source_.user, destination_.user);
  if (!directory) return pass_on(directory);
  if (options_.paused) {
    if (auto stopped = handover_->stop(); !stopped) return stopped;
  }
  auto socket = destination_socket(directory->incoming());
  if (!socket) return pass_on(socket);
  auto memory = find_guest_ram(*destination_.monitor);
  {
    Lock lock(mutex_);
    receiver_ =
        std::make_unique<Receiver>(Receiver::Options{.listen = options_.via,
                                                     .qemu = *socket,
                                                     .memory = [&memory](pid_t) { return std::move(memory); },
                                                     .trace = options_.trace},
                                   failure_);
  }
  if (auto opened = receiver_->open(); !opened) return opened;
  auto receiving = start_thread("receiver", [this] {
    if (auto received = receiver_->run(); !received) failure_.fail(received.error());
  });
  if (!receiving) return pass_on(receiving);
  auto migrated = migrate(directory->outgoing());
  if (!migrated) failure_.fail(migrated.error());
  receiving->join();
  // The first error is the cause; what QEMU says of it is a consequence.
  if (auto first = failure_.first(); first && !is_given_up()) return tl::make_unexpected(*first);
  return migrated;
}

Result<> Migration::migrate(const std::string& outgoing) {
  Uri to = options_.via;
  to.hosts = receiver_->listener().everywhere();
  {
    Lock lock(mutex_);
    sender_ = std::make_unique<Sender>(
        Sender::Options{
            .qemu = {.path = outgoing, .host = {}, .port = 0}, .uri = to, .trace = options_.trace},
        failure_);
  }
  sender_->ask_page_size(*source_.monitor);
  if (auto opened = sender_->open(source_.user); !opened) return opened;
  convergence::QmpSource source(*source_.monitor);
  auto steering =
      SourceSteering::begin(source, source_.monitor->peer_pid(), kByMonitors, options_.via, *sender_);
  if (!steering) return pass_on(steering);
  auto sending = start_thread("sender", [this] {
    if (auto sent = sender_->run(); !sent) failure_.fail(sent.error());
    sent_ = true;
  });
  if (!sending) return pass_on(sending);
  auto started = source_.monitor->execute("migrate", {{"uri", "unix:" + sender_->where().path}});
  Result<> done = started ? wait_source(**steering) : pass_on(started);
  if (done) {
    done = handover_->resume_there();  // at once: the two ends may still have something to say to each other
  } else {
    failure_.fail(done.error());
  }
  sending->join();
  return done;
}

Result<> Migration::wait_source(SourceSteering& steering) {
  MigratingSource source(*source_.monitor, steering, *handover_,
                         {.cancelled = cancelled_,
                          .sent = sent_,
                          .cancel = [this](const std::string& why) { (void)cancel(why); },
                          .patience = options_.via.resume});
  auto ended = source.wait();
  cancelled_by_others_ = source.cancelled_by_others();
  return ended;
}

// The guest stays at the source: as it was, with the settings that it had.
void Migration::undo() {
  // It may fail if the source's QEMU is gone, and then there is nothing to set back.
  if (before_) (void)write_settings(*source_.monitor, *before_);
  if (handover_) handover_->undo();
}

bool Migration::cancel(const std::string& why) {
  Lock lock(mutex_);
  if (is_given_up() || (sender_ && !sender_->interrupt(why))) return false;
  cancelled_ = true;
  failure_.fail({why});
  return true;
}

void Migration::leave() {
  Lock lock(mutex_);
  if (sender_) sender_->leave();
  if (receiver_) receiver_->leave();
}

Report Migration::report() const {
  Lock lock(mutex_);
  if (!sender_) return report_;
  return sender_->report();
}

}  // namespace wherry
