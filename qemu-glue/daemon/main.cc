// wherryd: the daemon of a host. Listens at one port, makes routes, and connects clients to the peers'
// libvirts.
//
// Each migration runs in its own process (`wherry send`, `wherry receive`), which survives this one.
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <filesystem>

#include "base/process_end.h"
#include "base/reserve.h"
#include "base/start_thread.h"
#include "base/trace.h"
#include "qemu-glue/daemon/arrivals.h"
#include "qemu-glue/daemon/bounds.h"
#include "qemu-glue/daemon/door.h"
#include "qemu-glue/daemon/errands.h"
#include "qemu-glue/daemon/libvirt_gateway.h"
#include "qemu-glue/daemon/notify.h"
#include "qemu-glue/daemon/routes.h"
#include "qemu-glue/daemon/runtime_dir.h"
#include "qemu-glue/daemon/serve_callers.h"
#include "qemu-glue/daemon/this_host.h"
#include "qemu-glue/interrupt.h"
#include "transport/socket/addresses.h"
#include "transport/socket/listener.h"

namespace wherry::daemon {
namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;
// Descriptors that making a route takes, and as many for the network. With fewer left, wherryd could not
// serve any request.
constexpr size_t kLeast = 16 + kKeptDescriptors;

struct Options {
  std::string file;
  bool check = false;
  std::string listen;
  std::string runtime_dir;
  std::string qemu_user;
  std::string administrators;
  std::string trace;
  std::string libvirt;
  std::vector<std::string> peers;
  bool insecure = false;

  bool from_command_line() const { return !listen.empty() || !peers.empty(); }
};

// Without --config, the file is not read if the command line has --listen or --peer.
Result<Config> configure(const Options& options) {
  Config config;
  if (!options.file.empty() || !options.from_command_line()) {
    auto read = Config::read(options.file.empty() ? kConfigFile : options.file);
    if (!read) return read;
    config = std::move(*read);
  }
  if (!options.listen.empty()) {
    auto uri = Uri::parse(options.listen);
    if (!uri) return fail("--listen {}", uri.error().message);
    config.listen = std::move(*uri);
  }
  for (const std::string& text : options.peers) {
    auto peer = parse_peer(text);
    if (!peer) return pass_on(peer);
    config.peers[peer->name] = std::move(*peer);
  }
  if (!options.libvirt.empty()) {
    auto socket = libvirt_socket(options.libvirt);
    if (!socket) return fail("--libvirt {}", socket.error().message);
    config.libvirt = std::move(*socket);
  }
  if (!options.runtime_dir.empty()) config.runtime_dir = options.runtime_dir;
  if (!options.qemu_user.empty()) config.qemu_user = options.qemu_user;
  if (!options.administrators.empty()) config.administrators = options.administrators;
  if (!options.trace.empty()) config.trace = options.trace;
  config.insecure = config.insecure || options.insecure;
  if (auto sound = config.check(); !sound) return pass_on(sound);
  if (auto users = check_users(config.qemu_user, config.administrators); !users) return pass_on(users);
  return config;
}

// The wherry binary in this program's directory.
std::string wherry_program() {
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "wherry").string();
}

// Everything that a wherryd has open.
class Daemon {
 public:
  explicit Daemon(Config config)
      : config_(std::move(config)),
        routes_(config_, wherry_program()),
        arrivals_(config_, wherry_program()) {}

  Result<> open() {
    if (auto made = make_runtime_dir(config_.runtime_dir); !made) return made;
    if (!config_.trace.empty()) {
      // So that a path that cannot be written does not show only when a guest is to leave.
      if (auto trace = Trace::open(config_.trace); !trace) return pass_on(trace);
    }
    remove_stale_routes(config_.runtime_dir);
    auto listener = Listener::open({.path = errand_socket(config_.runtime_dir), .host = {}, .port = 0});
    if (!listener) return pass_on(listener);
    errand_listener_ = std::move(*listener);
    if (auto given = give_socket(errand_socket(config_.runtime_dir), config_.administrators); !given)
      return given;
    for (const auto& [name, peer] : config_.peers) {
      auto gateway = LibvirtGateway::open(config_, peer, routes_);
      if (!gateway) return pass_on(gateway);
      gateways_.push_back(std::move(*gateway));
    }
    if (config_.listen) {
      auto door = Door::open(config_, arrivals_);
      if (!door) return pass_on(door);
      door_ = std::move(*door);
    }
    auto accepts = start_thread("errands", [this] {
      serve_callers(*errand_listener_, std::chrono::seconds(0), errands_, [this](const Fd& fd) {
        serve_errands(fd, [this](const nlohmann::json& asked) { return answer(asked); });
      });
    });
    if (!accepts) return pass_on(accepts);
    acceptor_ = std::move(*accepts);
    if (auto room = Reserve().keep(kLeast); !room) return room;
    if (door_) {
      spdlog::info("listening on {}", door_->listener().str());
      for (const Endpoint& host : config_.listen->hosts) {
        if (auto why = unreachable_because(host.host); !why.empty()) spdlog::warn("{}", why);
      }
    }
    return {};
  }

  ~Daemon() {
    if (errand_listener_) errand_listener_->stop();
    if (acceptor_.joinable()) acceptor_.join();
    // Logs what ends with this wherryd, and what continues.
    const size_t libvirt = libvirt_connections();
    const size_t going_on = routes_.list().size() + arrivals_.list().size();
    if (libvirt > 0) spdlog::warn("{} connections to libvirt end with this wherryd", libvirt);
    if (going_on > 0) spdlog::info("{} migrations continue in their own processes", going_on);
  }

 private:
  size_t libvirt_connections() const {
    size_t count = door_ ? door_->libvirt_connections() : 0;
    for (const auto& gateway : gateways_) count += gateway->connections();
    return count;
  }

  Result<nlohmann::json> answer(const nlohmann::json& asked) {
    const auto command = asked.find("command");
    if (command != asked.end() && *command == "status") {
      return nlohmann::json{{"routes", routes_.list()},
                            {"arrivals", arrivals_.list()},
                            {"libvirt_connections", libvirt_connections()}};
    }
    const auto uri = asked.find("uri");
    if (command != asked.end() && *command == "route" && uri != asked.end() && uri->is_string()) {
      auto route = routes_.make(uri->get<std::string>());
      if (!route) return pass_on(route);
      return nlohmann::json{{"path", route->path(config_.runtime_dir)},
                            {"disks", route->disks_path(config_.runtime_dir)}};
    }
    const auto path = asked.find("path");
    const auto bandwidth = asked.find("bandwidth");
    if (command != asked.end() && *command == "set" && path != asked.end() && path->is_string() &&
        bandwidth != asked.end() && bandwidth->is_number_unsigned()) {
      auto set = routes_.set_bandwidth(path->get<std::string>(), bandwidth->get<uint64_t>());
      if (!set) return pass_on(set);
      return nlohmann::json::object();
    }
    return fail("this wherryd does not know that command");
  }

  const Config config_;
  Routes routes_;
  Arrivals arrivals_;
  std::vector<std::unique_ptr<LibvirtGateway>> gateways_;
  std::unique_ptr<Door> door_;
  std::optional<Listener> errand_listener_;
  Connections errands_{"errand", kMostErrands};
  std::thread acceptor_;
};

// What was a default until wherryd let nobody in by default.
void warn_of_old_defaults(const Config& config) {
  if (!config.listen) return;
  for (const auto& [name, peer] : config.peers) {
    if (peer.libvirt) continue;
    spdlog::warn(
        "peer {0} may not use this host's libvirt, so no guest comes from it through its gateway: libvirt is "
        "not "
        "given for it, and \"manage\" is not the default any more. Write libvirt = \"manage\" in [peers.{0}] "
        "(--peer {0}=ADDRESS,libvirt=manage), or \"none\"",
        name);
  }
}

int run(const Options& options) {
  auto config = configure(options);
  if (!config) {
    spdlog::error("{}", config.error().message);
    return kUsage;
  }
  if (options.check) return 0;
  // The processes of its migrations inherit that.
  if (auto first = end_before_others(); !first) spdlog::warn("{}", first.error().message);
  for (const std::string& name : leave_out_this_host(*config)) spdlog::info("peer {} is this host", name);
  warn_of_old_defaults(*config);
  std::atomic<bool> stopped = false;
  Interrupt interrupt([&](int) {
    stopped = true;
    stopped.notify_all();
  });
  Daemon daemon(std::move(*config));
  if (auto opened = daemon.open(); !opened) {
    spdlog::error("{}", opened.error().message);
    return kFailed;
  }
  notify("READY=1");
  stopped.wait(false);
  spdlog::info("stopped");
  notify("STOPPING=1");
  return 0;
}

}  // namespace
}  // namespace wherry::daemon

int main(int argc, char** argv) {
  wherry::end_by_signals();
  std::signal(SIGPIPE, SIG_IGN);
  spdlog::set_default_logger(spdlog::stderr_color_mt("wherryd"));
  spdlog::set_pattern("wherryd: %v");
  CLI::App app{"The daemon of a host for live migration by wherry:// URIs", "wherryd"};
  app.set_version_flag("--version", WHERRY_VERSION);
  wherry::daemon::Options options;
  app.add_option("--config", options.file, "Configuration file (/etc/wherry/wherry.toml)");
  app.add_flag("--check", options.check, "Only check the configuration");
  app.add_option("--listen", options.listen, "Where to listen: wherry://ADDR[:PORT][,ADDR2…]");
  app.add_option("--runtime-dir", options.runtime_dir, "Directory of the sockets (/run/wherry)");
  app.add_option("--qemu-user", options.qemu_user,
                 "User that QEMU runs as, which makes sockets for arriving guests");
  app.add_option("--administrators", options.administrators,
                 "Group that may use the gateways and make routes (only root)");
  app.add_option("--peer", options.peers,
                 "Another host: NAME=ADDR[:PORT][,ADDR2…][,libvirt=manage]; can be repeated");
  app.add_option("--libvirt", options.libvirt, "This host's libvirt (qemu:///system)");
  app.add_option("--trace", options.trace, "File to which migrations add their events, as lines of JSON");
  app.add_flag("--insecure", options.insecure, "Allow guest memory to cross a network in the clear");
  CLI11_PARSE(app, argc, argv);
  return wherry::daemon::run(options);
}
