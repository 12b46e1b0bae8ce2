// wherry doctor: finds what will not work on this host or between it and its peers, with remedies.
#include <fmt/core.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <future>

#include "qemu-glue/cli/commands.h"
#include "qemu-glue/daemon/config.h"
#include "qemu-glue/daemon/this_host.h"
#include "qemu-glue/doctor/host.h"
#include "qemu-glue/doctor/libvirt.h"
#include "qemu-glue/doctor/peer.h"
#include "qemu-glue/doctor/qemu.h"
#include "qemu-glue/doctor/qemu_user.h"
#include "qemu-glue/doctor/wherryd.h"
#include "transport/socket/endpoint.h"

namespace wherry::cli {
namespace {

using doctor::Findings;

struct DoctorOptions {
  std::string uri;
  std::string config = daemon::kConfigFile;
  bool json = false;
};

std::string host_name() {
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

void add(Findings& all, Findings&& more) {
  std::move(more.begin(), more.end(), std::back_inserter(all));
}

Findings examine_wherryd(const std::string& file, const Result<daemon::Config>& read,
                         const daemon::Config& config) {
  const doctor::Finding running = doctor::running(config.runtime_dir);
  // Not only Level::ok: if this user cannot ask wherryd, its socket shows that it runs.
  const bool runs = running.level != doctor::Level::problem;
  std::vector<std::string> hosts{host_name()};
  for (const auto& [name, peer] : config.peers) hosts.push_back(name);
  Findings all{doctor::configuration(file, read, runs),
               doctor::runtime_directory(config.runtime_dir, config.administrators),
               doctor::socket_paths(config.runtime_dir, hosts), running};
  if (read) all.push_back(doctor::secrecy(config));
  if (config.listen) {
    for (const Endpoint& host : config.listen->hosts) all.push_back(doctor::port(host, runs));
  }
  return all;
}

// In parallel, if threads can be started, because a host that is down takes seconds.
Findings examine_peers(const std::map<std::string, daemon::Peer>& peers) {
  std::vector<std::future<doctor::Finding>> asked;
  for (const auto& [name, peer] : peers) {
    for (const Endpoint& host : peer.hosts) asked.push_back(std::async(doctor::peer, name, host));
  }
  Findings all;
  for (auto& each : asked) all.push_back(each.get());
  return all;
}

int examine(const DoctorOptions& options) {
  Findings all = doctor::examine_host();
  auto read = daemon::Config::read(options.config);
  if (read) {
    for (const std::string& name : daemon::leave_out_this_host(*read))
      all.push_back(doctor::ok("peer " + name, "is this host"));
  }
  const daemon::Config config = read ? *read : daemon::Config();
  std::map<std::string, daemon::Peer> peers = config.peers;
  if (!options.uri.empty()) {
    auto uri = Uri::parse(options.uri);
    if (!uri) {
      spdlog::error("{}", uri.error().message);
      return kUsage;
    }
    // As in a migration URI, the host can be a peer's name; that peer is already in `peers`.
    const daemon::Peer peer{.name = uri->hosts.front().host, .hosts = uri->hosts};
    if (is_this_host(peer, config))
      all.push_back(doctor::note("peer " + peer.name, "is this host", "give another host"));
    else
      peers.try_emplace(peer.name, peer);
  }
  all.push_back(doctor::examine_qemu());
  all.push_back(doctor::libvirt(config.libvirt));
  if (config.listen) add(all, doctor::examine_qemu_user(config.libvirt, config.qemu_user));
  add(all, examine_wherryd(options.config, read, config));
  add(all, examine_peers(peers));
  if (options.json) {
    fmt::print("{}\n", doctor::as_json(all).dump(2, ' ', true, nlohmann::json::error_handler_t::replace));
  } else {
    fmt::print("{}", doctor::as_text(all));
  }
  return doctor::has_problem(all) ? kFailed : kCompleted;
}

}  // namespace

void add_doctor(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<DoctorOptions>();
  CLI::App* command = app.add_subcommand(
      "doctor", "Find what will not work on this host or between it and its peers, with remedies");
  command->add_option("uri", options->uri, "Also check the path to this host: wherry://HOST[:PORT]");
  command->add_option("--config", options->config, "wherryd's configuration (/etc/wherry/wherry.toml)");
  command->add_flag("--json", options->json, "Print JSON");
  command->callback([options, &chosen] { chosen = [options] { return examine(*options); }; });
}

}  // namespace wherry::cli
