#include "qemu-glue/steering/migration.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <thread>

#include "base/errno.h"
#include "base/start_thread.h"
#include "qemu-glue/convergence/qmp_source.h"
#include "qemu-glue/memory/find_guest_ram.h"
#include "qemu-glue/monitor/migration_figures.h"
#include "qemu-glue/monitor/migration_status.h"
#include "qemu-glue/monitor/qemu_process.h"
#include "qemu-glue/monitor/run_state.h"
#include "qemu-glue/steering/kept_stopped.h"
#include "transport/socket/endpoint.h"

namespace wherry {
namespace {

using nlohmann::json;
using qemu::MigrationPhase;
using qemu::RunState;

// Between two looks at a source whose migration is being cancelled.
constexpr std::chrono::milliseconds kLook{100};
// Two QEMUs' monitors are asked before the guest goes on (bench/downtime --door migrate).
constexpr convergence::Door kByMonitors{.takes = {.start = 0.001}};

constexpr const char* kBound =
    "the guest was stopped by a debugger or for a snapshot, and no QEMU takes such a guest over: let it go "
    "on "
    "first (cont)";
constexpr const char* kCut =
    "postcopy stopped half-way, and the guest's memory is on both hosts: go on with migrate-recover at the "
    "destination's QEMU and migrate with resume at the source's";

constexpr const char* kGoneByPostcopy =
    "the guest had gone to the destination by postcopy, and stays stopped here: ask the destination's QEMU "
    "(query-migrate) whether it has all of it";

constexpr const char* kAlone =
    "the destination's QEMU has the guest, and the source's does not answer: see that it has ended, then let "
    "the guest go on at the destination (cont)";

constexpr const char* kTwice =
    "the destination's QEMU has the guest as well, and lets it run: stop it on one host at once";

constexpr const char* kIncoming = "/incoming";
constexpr const char* kOutgoing = "/outgoing";

// A directory of our own for the sockets, gone with its owner: one at which the source's QEMU is listened
// for, and one that the destination's makes. Each of them has to reach its own, and no other user either.
class SocketDirectory {
 public:
  // `source`, `destination`: as whom they run. Only root can make sockets for others.
  static Result<SocketDirectory> make(uid_t source, uid_t destination) {
    const auto is_other = [](uid_t user) { return user != ::geteuid() && user != 0; };
    const bool for_others = is_other(source) || is_other(destination);
    if (for_others && ::geteuid() != 0) {
      return fail(
          "the QEMUs run as users {} and {}, this is user {}: run wherry as root, or as the same user",
          source, destination, ::geteuid());
    }
    // What TMPDIR names may be for this user alone, too long for a socket's path, or no directory.
    std::error_code none;
    const auto temporary = std::filesystem::absolute(std::filesystem::temp_directory_path(none), none);
    std::string name = (temporary / "wherry-XXXXXX").string();
    if (for_others) {
      name = "/run/wherry-XXXXXX";
    } else if (none || name.size() + std::strlen(kIncoming) > kLongestSocketPath) {
      name = "/tmp/wherry-XXXXXX";
    }
    if (!mkdtemp(name.data())) return fail("cannot make the directory {}: {}", name, reason(errno));
    SocketDirectory directory;
    directory.path_ = name;
    const std::string incoming = name + kIncoming;
    // Nobody else can write there, so these names are what they were made as.
    if ((for_others && ::chmod(name.c_str(), 0711) != 0) || ::mkdir(incoming.c_str(), 0700) != 0 ||
        (is_other(destination) && ::lchown(incoming.c_str(), destination, static_cast<gid_t>(-1)) != 0))
      return fail("cannot make the directory {} for user {}, as whom the destination's QEMU runs: {}",
                  incoming, destination, reason(errno));
    return directory;
  }
  SocketDirectory(SocketDirectory&& other) noexcept : path_(std::exchange(other.path_, "")) {}
  SocketDirectory& operator=(SocketDirectory&&) = delete;
  ~SocketDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  std::string outgoing() const { return path_ + "/outgoing"; }
  std::string incoming() const { return path_ + kIncoming + "/qemu"; }

 private:
  static constexpr const char* kIncoming = "/incoming";
  SocketDirectory() = default;
  std::string path_;
};

Result<std::string> status(Qmp& qmp) {
  auto answer = qmp.execute("query-status");
  if (!answer) return pass_on(answer);
  return answer->value("status", "");
}

}  // namespace

Migration::Migration(Options options) : options_(std::move(options)) {
  report_.uri = options_.via.text;
}
Migration::~Migration() = default;

Result<> Migration::run() {
  auto done = connect();
  if (done) done = prepare();
  if (done) done = carry();
  if (!done && !gone_) look_for_guest(done);
  if (!done && !gone_) undo();
  const auto kept = done || gone_ || !source_ ? std::nullopt : kept_stopped(*source_);
  if (kept) done = fail("{}; {}", done.error().message, *kept);
  const Report seen = report();
  std::lock_guard lock(mutex_);
  report_ = seen;
  sender_.reset();
  receiver_.reset();
  // What neither end knows, or a guest that the source has given up and that does not go on.
  const bool nowhere = gone_ || kept || seen.outcome == Outcome::unknown;
  report_.outcome = done                   ? Outcome::completed
                    : nowhere              ? Outcome::unknown
                    : cancelled_by_others_ ? Outcome::cancelled
                                           : Outcome::failed;
  report_.error = done ? "" : done.error().message;
  if (stop_s_ && resume_s_) report_.switchover_ms = (*resume_s_ - *stop_s_) * 1000;
  return done;
}

Result<> Migration::connect() {
  for (auto [path, qmp, user] : {std::tuple{&options_.from, &source_, &source_user_},
                                 std::tuple{&options_.to, &destination_, &destination_user_}}) {
    auto connected = Qmp::connect(*path);
    if (!connected) return pass_on(connected);
    *qmp = std::move(*connected);
    *user = user_of((*qmp)->peer_pid()).value_or(::geteuid());
  }
  auto here = status(*source_);
  if (!here) return pass_on(here);
  auto there = status(*destination_);
  if (!there) return pass_on(there);
  if (qemu::run_state_named(*there) != RunState::awaited) {
    return fail("the QEMU at {} does not wait for a migration (it is {}): start it with -incoming defer",
                options_.to, *there);
  }
  const auto state = qemu::run_state_named(*here);
  if (state == RunState::bound) return fail("{} (it is {})", kBound, *here);
  live_ = state == RunState::live;
  return {};
}

Result<> Migration::prepare() {
  auto here = read_settings(*source_);
  if (!here) return pass_on(here);
  auto there = read_settings(*destination_);
  if (!there) return pass_on(there);
  auto settled = settle(*here, *there);
  if (!settled) return pass_on(settled);
  if (auto set = write_settings(*destination_, settled->destination); !set)
    return fail("the destination's QEMU cannot be set as the source's is: {}", set.error().message);
  before_ = std::move(settled->before);
  begun_ = true;
  return write_settings(*source_, settled->source);
}

// A QEMU that was started with -incoming defer is told where to wait; another waits already.
Result<Endpoint> Migration::destination_socket(const std::string& incoming) {
  Endpoint at;
  auto known = destination_->execute("query-migrate");
  if (!known) return pass_on(known);
  for (const json& address : known->value("socket-address", json::array())) {
    if (address.value("type", "") == "unix") {
      const std::string path = address.value("path", "");
      at.path = path_of(destination_->peer_pid(), path);
      if (::access(at.path.c_str(), F_OK) != 0) {
        return fail("the QEMU at {} waits at {}, but not at {} ({}): give it an absolute path", options_.to,
                    path, at.path, reason(errno));
      }
    }
    if (address.value("type", "") == "inet") {
      at.host = address.value("host", "");
      at.port = static_cast<uint16_t>(std::strtoul(address.value("port", "0").c_str(), nullptr, 10));
      // QEMU names the address it listens on; one for all addresses is reached on loopback.
      if (at.host == "0.0.0.0" || at.host == "::") at.host = "localhost";
    }
    if (at.is_unix() || at.port != 0) return at;
  }
  at.path = incoming;
  auto told = destination_->execute("migrate-incoming", {{"uri", "unix:" + at.path}});
  if (!told) return pass_on(told);
  return at;
}

Result<> Migration::carry() {
  auto directory = SocketDirectory::make(source_user_, destination_user_);
  if (!directory) return pass_on(directory);
  if (options_.paused) {
    if (auto stopped = stop(); !stopped) return stopped;
  }
  auto socket = destination_socket(directory->incoming());
  if (!socket) return pass_on(socket);
  auto memory = find_guest_ram(*destination_);
  {
    std::lock_guard lock(mutex_);
    receiver_ = std::make_unique<Receiver>(
        Receiver::Options{.listen = options_.via,
                          .qemu = *socket,
                          .memory = [&memory](pid_t) { return std::move(memory); }},
        failure_);
  }
  if (auto opened = receiver_->open(); !opened) return opened;
  auto receiving = start_thread([this] {
    if (auto received = receiver_->run(); !received) failure_.fail(received.error());
  });
  if (!receiving) return pass_on(receiving);
  auto migrated = migrate(directory->outgoing());
  if (!migrated) failure_.fail(migrated.error());
  receiving->join();
  // The first error is the cause; what QEMU says of it is a consequence.
  if (auto first = failure_.first(); first && !gone_) return tl::make_unexpected(*first);
  return migrated;
}

Result<> Migration::migrate(const std::string& outgoing) {
  Uri to = options_.via;
  to.hosts = receiver_->listener().everywhere();
  {
    std::lock_guard lock(mutex_);
    sender_ = std::make_unique<Sender>(
        Sender::Options{.qemu = {.path = outgoing, .host = {}, .port = 0}, .uri = to}, failure_);
  }
  sender_->ask_page_size(*source_);
  if (auto opened = sender_->open(source_user_); !opened) return opened;
  convergence::QmpSource source(*source_);
  auto converging = convergence::Convergence::begin(
      source, source_->peer_pid(), options_.via, [this] { return sender_->lanes(); }, kByMonitors);
  if (!converging) return pass_on(converging);
  auto sending = start_thread([this] {
    if (auto sent = sender_->run(); !sent) failure_.fail(sent.error());
    sent_ = true;
  });
  if (!sending) return pass_on(sending);
  auto started = source_->execute("migrate", {{"uri", "unix:" + sender_->where().path}});
  Result<> done = started ? wait_source(**converging) : pass_on(started);
  if (done) {
    done = resume_destination();  // at once: the two ends may still have something to say to each other
  } else {
    failure_.fail(done.error());
  }
  sending->join();
  return done;
}

// It stays stopped at the destination too, where QEMU might let it go on: one that is not started with -S, of
// a guest that sleeps and that a source's QEMU before 9.0 wakes.
Result<> Migration::stop() {
  if (std::exchange(live_, false)) {
    if (auto stopped = source_->execute("stop"); !stopped) return pass_on(stopped);
    stopped_ = true;
  }
  if (auto waits = destination_->execute("stop"); !waits) return pass_on(waits);
  return {};
}

// Waits for a moment for an event of the source's QEMU, and notes whether the guest lives, and when QEMU
// stopped it for the destination. Somebody else may stop it and let it go on at any time.
void Migration::watch_source(std::chrono::milliseconds moment) {
  for (auto event = source_->next_event(moment); event; event = source_->next_event({})) {
    if (event->name == "RESUME") {
      live_ = true;
      stop_s_.reset();
    }
    if (event->name != "STOP") continue;
    const auto by_others = qemu::stopped_by_others(*source_);
    live_ = live_ && !by_others;
    stop_s_ = by_others ? std::nullopt : std::optional(event->time_s);
    if (by_others == RunState::bound) (void)cancel(kBound);  // unless it is too late for that
  }
}

Result<> Migration::wait_source(convergence::Convergence& converging) {
  bool told = false;
  Result<> begun;  // postcopy
  std::optional<std::chrono::steady_clock::time_point> stuck_at;
  for (;;) {
    if (cancelled_ && !std::exchange(told, true)) {
      // An Error means that there is nothing to cancel any more.
      (void)source_->execute("migrate_cancel");
    }
    auto info = source_->execute("query-migrate", {}, kSwitchoverTimeout);
    if (!info) return pass_on(info);
    const qemu::MigrationFigures figures = qemu::figures_of(*info);
    sender_->hear_page_size(figures.page_size);
    const MigrationPhase phase = figures.phase;
    if (phase == MigrationPhase::held && !cancelled_) {
      // An Error means that somebody else has told it.
      (void)source_->execute("migrate-continue", {{"state", (*info)["status"]}});
    }
    // QEMU 7.2 says so a moment before it has stopped the guest.
    if (phase == MigrationPhase::shared && !gone_ && qemu::ask_run_state(*source_) == RunState::leaves) {
      gone_ = true;
      begun = begin_postcopy();
    }
    // Nothing comes behind the last state, and the guest is away.
    std::chrono::milliseconds look_in = is_over(phase) ? std::chrono::milliseconds(0) : kLook;
    if (!is_over(phase) && !cancelled_) {
      auto looked = converging.look(figures);
      if (looked) {
        look_in = *looked;
      } else {
        (void)cancel(looked.error().message);  // unless it is too late for that
      }
    }
    watch_source(look_in);
    sender_->note(converging.state());
    if (phase == MigrationPhase::completed) {
      gone_ = true;
      return begun;
    }
    if (phase == MigrationPhase::cut) {
      gone_ = true;
      return fail("{}", kCut);
    }
    // Some never get to an end (7.2, cancelled in postcopy, or by the destination's death).
    const auto now = std::chrono::steady_clock::now();
    if ((phase == MigrationPhase::gives_up || sent_) && !stuck_at) stuck_at = now + options_.via.resume;
    if (!is_over(phase) && (!stuck_at || now < *stuck_at)) continue;
    if (phase == MigrationPhase::cancelled && !cancelled_) cancelled_by_others_ = true;
    const std::string says =
        fmt::format("the source's QEMU says: {}{}", info->value("status", ""),
                    info->contains("error-desc") ? ", " + info->value("error-desc", "") : "");
    if (gone_ && !ran_there_ && is_over(phase)) gone_ = false;
    if (!gone_) return fail("{}", begun ? says : begun.error().message);
    stay_away();
    return fail("{}; {}", says, kGoneByPostcopy);
  }
}

// A QEMU that has sent all of a guest by postcopy, and is not told that it has arrived, lets it go on (10.0
// and 11.1).
void Migration::stay_away() {
  if (!kept_stopped(*source_) && qemu::ask_run_state(*source_) == RunState::live)
    (void)source_->execute("stop");
}

// The guest goes on while the rest of its memory comes. QEMU would start even one that was stopped.
Result<> Migration::begin_postcopy() {
  watch_source({});
  if (live_) return resume_destination();
  if (auto stopped = destination_->execute("stop"); !stopped) return pass_on(stopped);
  return {};
}

Result<> Migration::resume_destination() {
  if (std::exchange(resumed_, true) || !live_) return {};
  auto now = status(*destination_);
  if (!now) return pass_on(now);
  // QEMU that still loads the guest takes "cont" for later. One that was started without -S has gone on by
  // itself.
  ran_there_ = qemu::run_state_named(*now) == RunState::live;
  if (!ran_there_) {
    if (auto resumed = destination_->execute("cont"); !resumed) return pass_on(resumed);
  }
  while (auto event = destination_->next_event(kMonitorTimeout)) {
    if (event->name != "RESUME") continue;
    resume_s_ = event->time_s;
    ran_there_ = true;
    break;
  }
  return {};
}

// What the source's QEMU says does not count where it has ended, nor if it was cancelled as it gave the guest
// up, and the destination's was started without -S: that one may have the guest, or have it as well.
void Migration::look_for_guest(Result<>& done) {
  if (!source_ || !destination_) return;
  const auto there = destination_->execute("query-migrate");
  if (!there || qemu::phase_of(*there) != MigrationPhase::completed) return;
  const bool alone = !source_->execute("query-status");
  if (!alone && qemu::ask_run_state(*destination_) != RunState::live) return;
  gone_ = true;
  done = fail("{}; {}", done.error().message, alone ? kAlone : kTwice);
}

// The guest stays at the source: as it was, with the settings that it had.
void Migration::undo() {
  // Each may fail where the source's QEMU is gone, and then there is nothing to set back.
  if (before_) (void)write_settings(*source_, *before_);
  if (stopped_) (void)source_->execute("cont");
}

bool Migration::cancel(const std::string& why) {
  std::lock_guard lock(mutex_);
  if (gone_ || (sender_ && !sender_->interrupt(why))) return false;
  cancelled_ = true;
  failure_.fail({why});
  return true;
}

void Migration::leave() {
  std::lock_guard lock(mutex_);
  if (sender_) sender_->leave();
  if (receiver_) receiver_->leave();
}

Report Migration::report() const {
  std::lock_guard lock(mutex_);
  if (!sender_) return report_;
  return sender_->report();
}

}  // namespace wherry
