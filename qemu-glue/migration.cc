#include "qemu-glue/migration.h"

#include <array>
#include <filesystem>
#include <thread>

#include "qemu-glue/memory/find_guest_ram.h"

namespace wherry {
namespace {

using nlohmann::json;

// Between two looks at a source whose migration is being cancelled.
constexpr std::chrono::milliseconds kWhileCancelled{100};
// Two QEMUs' monitors are asked before the guest goes on (bench/downtime --door migrate).
constexpr convergence::Door kByMonitors{.takes = {.start = 0.001}};
// No limit, for every QEMU.
constexpr uint64_t kUnlimited = 10'000'000'000'000;

// Capabilities that both ends must agree on, when the source has them on.
constexpr std::array kShared{"multifd",       "postcopy-ram",  "postcopy-preempt",
                             "dirty-bitmaps", "validate-uuid", "x-ignore-shared"};

constexpr const char* kSwitchoverAck = "switchover-ack";

// A directory of our own for the sockets, gone with its owner.
class SocketDirectory {
 public:
  static Result<SocketDirectory> make() {
    SocketDirectory directory;
    std::string name = (std::filesystem::temp_directory_path() / "wherry-XXXXXX").string();
    if (!mkdtemp(name.data())) return fail("cannot make the directory {}: {}", name, reason(errno));
    directory.path_ = name;
    return directory;
  }
  SocketDirectory(SocketDirectory&& other) noexcept : path_(std::exchange(other.path_, "")) {}
  SocketDirectory& operator=(SocketDirectory&&) = delete;
  ~SocketDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  SocketDirectory() = default;
  std::string path_;
};

Result<std::string> status(Qmp& qmp) {
  auto answer = qmp.execute("query-status");
  if (!answer) return pass_on(answer);
  return answer->value("status", "");
}

Result<json> capabilities(Qmp& qmp) {
  auto answer = qmp.execute("query-migrate-capabilities");
  if (!answer) return pass_on(answer);
  json map = json::object();
  for (const json& entry : *answer) map[entry.value("capability", "")] = entry.value("state", false);
  return map;
}

Result<> set_capabilities(Qmp& qmp, const json& map) {
  json list = json::array();
  for (const auto& [name, state] : map.items()) list.push_back({{"capability", name}, {"state", state}});
  auto answer = qmp.execute("migrate-set-capabilities", {{"capabilities", list}});
  if (!answer) return pass_on(answer);
  return {};
}

}  // namespace

struct Migration::Settings {
  json capabilities;
  json parameters;
};

Migration::Migration(Options options) : options_(std::move(options)) {
  report_.uri = options_.via.text;
}
Migration::~Migration() = default;

Result<> Migration::run() {
  auto done = connect();
  if (done) done = prepare();
  if (done) done = carry();
  if (!done && !gone_) undo();
  const Report seen = report();
  std::lock_guard lock(mutex_);
  report_ = seen;
  sender_.reset();
  receiver_.reset();
  // What neither end knows, or a guest that the source has given up and that does not go on.
  const bool nowhere = gone_ || seen.outcome == Outcome::unknown;
  report_.outcome = done ? Outcome::completed : nowhere ? Outcome::unknown : Outcome::failed;
  report_.error = done ? "" : done.error().message;
  if (stop_s_ && resume_s_) report_.switchover_ms = (*resume_s_ - *stop_s_) * 1000;
  return done;
}

Result<> Migration::connect() {
  for (auto [path, qmp] : {std::pair{&options_.from, &source_}, std::pair{&options_.to, &destination_}}) {
    auto connected = Qmp::connect(*path);
    if (!connected) return pass_on(connected);
    *qmp = std::move(*connected);
  }
  auto here = status(*source_);
  if (!here) return pass_on(here);
  auto there = status(*destination_);
  if (!there) return pass_on(there);
  if (*there != "inmigrate") {
    return fail("the QEMU at {} does not wait for a migration (it is {}): start it with -incoming defer",
                options_.to, *there);
  }
  was_running_ = *here == "running";
  return {};
}

Result<> Migration::prepare() {
  auto before = capabilities(*source_);
  if (!before) return pass_on(before);
  auto parameters = source_->execute("query-migrate-parameters");
  if (!parameters) return pass_on(parameters);
  auto there = capabilities(*destination_);
  if (!there) return pass_on(there);
  json wanted = {{"return-path", true}, {"events", true}};
  json shared = json::object();
  // Devices whose state is large have most of it at the destination before the guest stops (QEMU 8.1).
  if (before->contains(kSwitchoverAck) && there->contains(kSwitchoverAck)) {
    wanted[kSwitchoverAck] = true;
    shared = {{"return-path", true}, {kSwitchoverAck, true}};
  }
  settings_ = std::make_unique<Settings>();
  begun_ = true;
  for (const auto& each : wanted.items())
    settings_->capabilities[each.key()] = before->value(each.key(), false);
  settings_->parameters["max-bandwidth"] = (*parameters)["max-bandwidth"];
  if (auto set = set_capabilities(*source_, wanted); !set) return set;
  auto limits = source_->execute("migrate-set-parameters", {{"max-bandwidth", kUnlimited}});
  if (!limits) return pass_on(limits);

  for (const char* name : kShared) {
    if (before->value(name, false)) shared[name] = true;
  }
  if (!shared.empty()) {
    if (auto set = set_capabilities(*destination_, shared); !set) return set;
  }
  if (shared.contains("multifd")) {
    auto set = destination_->execute("migrate-set-parameters",
                                     {{"multifd-channels", (*parameters)["multifd-channels"]},
                                      {"multifd-compression", (*parameters)["multifd-compression"]}});
    if (!set) return pass_on(set);
  }
  return {};
}

// A QEMU that was started with -incoming defer is told where to wait; another waits already.
Result<Endpoint> Migration::destination_socket(const std::string& directory) {
  Endpoint at;
  auto known = destination_->execute("query-migrate");
  if (!known) return pass_on(known);
  for (const json& address : known->value("socket-address", json::array())) {
    if (address.value("type", "") == "unix") at.path = address.value("path", "");
    if (address.value("type", "") == "inet") {
      at.host = address.value("host", "");
      at.port = static_cast<uint16_t>(std::strtoul(address.value("port", "0").c_str(), nullptr, 10));
      // QEMU names the address it listens on; one for all addresses is reached on loopback.
      if (at.host == "0.0.0.0" || at.host == "::") at.host = "localhost";
    }
    if (at.is_unix() || at.port != 0) return at;
  }
  at.path = directory + "/incoming";
  auto told = destination_->execute("migrate-incoming", {{"uri", "unix:" + at.path}});
  if (!told) return pass_on(told);
  return at;
}

Result<> Migration::carry() {
  auto directory = SocketDirectory::make();
  if (!directory) return pass_on(directory);
  if (options_.paused && was_running_) {
    if (auto stopped = source_->execute("stop"); !stopped) return pass_on(stopped);
  }
  auto socket = destination_socket(directory->path());
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
  std::thread receiving([this] {
    if (auto received = receiver_->run(); !received) failure_.fail(received.error());
  });
  auto migrated = migrate(directory->path());
  if (!migrated) failure_.fail(migrated.error());
  receiving.join();
  // The first error is the cause; what QEMU says of it is a consequence.
  if (auto first = failure_.first(); first && !gone_) return tl::make_unexpected(*first);
  return migrated;
}

Result<> Migration::migrate(const std::string& directory) {
  Endpoint outgoing;
  outgoing.path = directory + "/outgoing";
  Uri to = options_.via;
  for (Endpoint& host : to.hosts) host.port = receiver_->where().port;
  {
    std::lock_guard lock(mutex_);
    sender_ = std::make_unique<Sender>(Sender::Options{.qemu = outgoing, .uri = to}, failure_);
  }
  if (auto opened = sender_->open(); !opened) return opened;
  auto converging = convergence::Convergence::begin(
      *source_, source_->peer_pid(), options_.via, [this] { return sender_->lanes(); }, kByMonitors);
  if (!converging) return pass_on(converging);
  std::thread sending([this] {
    if (auto sent = sender_->run(); !sent) failure_.fail(sent.error());
  });
  auto started = source_->execute("migrate", {{"uri", "unix:" + sender_->where().path}});
  Result<> done = started ? wait_source(**converging) : pass_on(started);
  if (done) {
    done = resume_destination();  // at once: the two ends may still have something to say to each other
  } else {
    failure_.fail(done.error());
  }
  sending.join();
  return done;
}

// Waits for a moment for an event of the source's QEMU, and notes when the guest stopped.
void Migration::watch_source(std::chrono::milliseconds moment) {
  for (auto event = source_->next_event(moment); event; event = source_->next_event({})) {
    if (event->name == "STOP") stop_s_ = event->time_s;
  }
}

Result<> Migration::wait_source(convergence::Convergence& converging) {
  bool told = false;
  for (;;) {
    if (cancelled_ && !std::exchange(told, true)) {
      // An Error means that there is nothing to cancel any more.
      (void)source_->execute("migrate_cancel");
    }
    auto info = source_->execute("query-migrate", {}, kSwitchoverTimeout);
    if (!info) return pass_on(info);
    const std::string state = info->value("status", "");
    const bool over = state == "completed" || state == "failed" || state == "cancelled";
    // Nothing comes behind the last state, and the guest is away.
    std::chrono::milliseconds look_in = over ? std::chrono::milliseconds(0) : kWhileCancelled;
    if (!over && !cancelled_) {
      auto looked = converging.look(*info);
      if (looked) {
        look_in = *looked;
      } else {
        (void)cancel(looked.error().message);  // unless it is too late for that
      }
    }
    watch_source(look_in);
    sender_->note(converging.state());
    if (state == "completed") {
      gone_ = true;
      return {};
    }
    if (state == "failed" || state == "cancelled") {
      return fail("the source's QEMU says: {}{}", state,
                  info->contains("error-desc") ? ", " + info->value("error-desc", "") : "");
    }
  }
}

Result<> Migration::resume_destination() {
  auto now = status(*destination_);
  if (!now) return pass_on(now);
  // QEMU that still loads the guest takes "cont" for later. One that was started without -S has gone on by
  // itself.
  const bool waits = *now == "inmigrate" || *now == "paused" || *now == "prelaunch" || *now == "postmigrate";
  if (waits && was_running_) {
    if (auto resumed = destination_->execute("cont"); !resumed) return pass_on(resumed);
  }
  while (auto event = was_running_ ? destination_->next_event(kMonitorTimeout) : std::nullopt) {
    if (event->name != "RESUME") continue;
    resume_s_ = event->time_s;
    break;
  }
  return {};
}

// The guest stays at the source: as it was, with the settings that it had.
void Migration::undo() {
  if (!source_ || !settings_) return;
  // Each may fail where the source's QEMU is gone, and then there is nothing to set back.
  (void)source_->execute("migrate-set-parameters", settings_->parameters);
  (void)set_capabilities(*source_, settings_->capabilities);
  if (options_.paused && was_running_) (void)source_->execute("cont");
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
