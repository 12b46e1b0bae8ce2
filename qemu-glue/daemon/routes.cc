#include "qemu-glue/daemon/routes.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/printable.h"
#include "base/start_thread.h"
#include "qemu-glue/convergence/vcpu_quota.h"
#include "qemu-glue/daemon/bandwidth.h"
#include "qemu-glue/daemon/bounds.h"
#include "qemu-glue/daemon/runtime_dir.h"
#include "qemu-glue/daemon/service.h"
#include "qemu-glue/daemon/this_host.h"
#include "transport/socket/connect.h"
#include "transport/socket/endpoint.h"
#include "transport/wire/control.h"

namespace wherry::daemon {
namespace {

// Longer than `wherry send` tries to connect.
constexpr std::chrono::seconds kStart{30};
// `wherry send` reports its progress once a second, so within this time it is known whether QEMU has
// connected.
constexpr std::chrono::seconds kNews{3};

// For the far wherryd to be connected to, and for its answer.
constexpr std::chrono::seconds kAnnounce{10};

// Tells the far wherryd that a migration will come. It takes no others.
Result<> announce(const Route& route, const Endpoint& to) {
  auto connection = connect_to(to, kAnnounce, kAnnounce, nullptr, SourcePort::privileged);
  if (!connection) return fail("{} (does `wherryd` run there?)", connection.error().message);
  auto asked = ask_for_service(std::move(*connection), to.str(),
                               {{"service", "route"}, {"route", route.text()}}, kAnnounce);
  if (!asked) return pass_on(asked);
  return {};
}

std::string query(const Uri& uri) {
  const size_t question = uri.text.find('?');
  return question == std::string::npos ? "" : uri.text.substr(question);
}

// Parses a line of `wherry send --json`. Returns an object in any case. That process reads what a stranger
// sends, so its members are taken for a stranger's.
nlohmann::json progress_of(const std::string& line) {
  constexpr int kDeepest = 16;  // the library recurses when it copies and prints
  const auto is_shallow = [](int depth, nlohmann::json::parse_event_t, const nlohmann::json&) {
    return depth < kDeepest;
  };
  auto json = nlohmann::json::parse(line, is_shallow, false);
  return json.is_object() ? json : nlohmann::json::object();
}

// The outcome, for the log, from the last line of `wherry send --json`.
std::string outcome_of(const nlohmann::json& progress) {
  std::string text = peer_text(progress, "status").value_or("?");
  if (const std::string error = peer_text(progress, "error").value_or(""); !error.empty())
    text += " " + error;
  const auto milliseconds = [&progress](const char* where) -> std::optional<double> {
    const nlohmann::json::json_pointer pointer(where);
    if (!progress.contains(pointer) || !progress.at(pointer).is_number()) return std::nullopt;
    return progress.at(pointer).get<double>();
  };
  const auto downtime = milliseconds("/switchover_ms");
  const auto expected = milliseconds("/downtime/predicted/total");
  if (!downtime || !expected) return text;
  return text + fmt::format(", downtime {:.0f} ms ({:.0f} predicted)", *downtime, *expected);
}

// Waits for the first line: `wherry send` listens, or an Error says why not.
Result<nlohmann::json> first_progress(Child& child) {
  std::string line;
  switch (child.read_line(line, kStart)) {
    case Child::Said::line: {
      auto progress = progress_of(line);
      if (peer_text(progress, "status").value_or("") == "running") return progress;
      return fail("{}", peer_text(progress, "error").value_or("wherry send failed"));
    }
    case Child::Said::nothing:
      return fail("wherry send did not start within {} seconds", kStart.count());
    case Child::Said::end:
      break;
  }
  return fail("wherry send ended with status {}; wherryd's log has the reason", child.wait());
}

}  // namespace

Result<Route> Routes::make(const std::string& text) {
  reap();
  auto uri = Uri::parse(text);
  if (!uri) return pass_on(uri);
  if (!uri->route.empty()) return fail("{}: a migration URI must not name a route; wherryd makes one", text);
  auto route = Route::make(uri->hosts.front().host);
  auto sound = route ? route->check_paths(config_.runtime_dir) : pass_on(route);
  if (!sound) return fail("{}: {}", text, sound.error().message);
  if (auto peer = config_.peers.find(route->host); peer != config_.peers.end())
    uri->hosts = peer->second.hosts;
  // A session with this host itself would use one path both for Wherry and for QEMU.
  if (is_this_host({.name = route->host, .hosts = uri->hosts}, config_))
    return fail("{} is this host", route->host);
  {
    Lock lock(mutex_);
    if (leaving_.size() >= kMostDepartures)
      return fail("too many routes leave this host at once ({}): wait until some have ended",
                  leaving_.size());
  }
  if (auto announced = announce(*route, uri->hosts.front()); !announced)
    return fail("no route to {}: {}", route->host, announced.error().message);
  if (auto made = make_route_dir(config_.runtime_dir, *route, {}); !made) return pass_on(made);
  auto child = start(*route, *uri);
  auto progress = child ? first_progress(**child) : pass_on(child);
  if (!progress) {
    if (child) child->reset();
    remove_route_dir(config_.runtime_dir, *route);
    return fail("no route to {}: {}", route->host, progress.error().message);
  }
  auto leaving = std::make_unique<Leaving>();
  leaving->route = *route;
  leaving->uri = text;
  leaving->bandwidth = uri->bandwidth;
  leaving->child = std::move(*child);
  leaving->progress = std::move(*progress);
  leaving->patience = config_.route_timeout;
  leaving->unused_until = std::chrono::steady_clock::now() + leaving->patience;
  const std::string path = route->path(config_.runtime_dir);
  spdlog::info("route {} is open (process {}) for {}", path, leaving->child->pid(), printable(text));
  std::unique_ptr<Leaving> unwatched;  // its process is ended without mutex_
  Lock lock(mutex_);
  auto watches = start_thread("route", [this, kept = leaving.get()] { watch(*kept); });
  if (!watches) {
    unwatched = std::move(leaving);
    remove_route_dir(config_.runtime_dir, *route);
    return fail("no route to {}: {}", route->host, watches.error().message);
  }
  leaving->thread = std::move(*watches);
  leaving_[path] = std::move(leaving);
  share_out();
  return *route;
}

Result<std::unique_ptr<Child>> Routes::start(const Route& route, const Uri& uri) {
  std::string to = uri.text.substr(0, uri.text.find("//") + 2);
  for (const Endpoint& host : uri.hosts) to += (to.ends_with('/') ? "" : ",") + host.str();
  to += "/" + route.text() + query(uri);
  std::vector<std::string> argv{wherry_,
                                "send",
                                "--json",
                                "--bandwidth-from",
                                std::to_string(kChildSocket),
                                "--qemu",
                                "unix:" + route.path(config_.runtime_dir),
                                "--disks",
                                "unix:" + route.disks_path(config_.runtime_dir),
                                "--libvirt",
                                "qemu+unix:///system?socket=" + config_.libvirt,
                                "--to",
                                to};
  if (!config_.trace.empty()) argv.insert(argv.end(), {"--trace", config_.trace});
  if (config_.insecure) argv.emplace_back("--insecure");
  return Child::spawn(argv);
}

// Runs in the route's own thread until its process ends.
void Routes::watch(Leaving& leaving) {
  std::string line;
  Child::Said said = Child::Said::nothing;
  while (said != Child::Said::end) {
    said = leaving.child->read_line(line, kChildLook);
    Lock lock(mutex_);
    if (said == Child::Said::line) {
      leaving.progress = progress_of(line);
      const bool used = leaving.progress.contains("passes");
      if (used != std::exchange(leaving.used, used)) share_out();
      if (used) leaving.unused_until = std::chrono::steady_clock::now() + leaving.patience;
    }
    if (closing_ && leaving.used) return leaving.child->let_go();
    if (!leaving.used && std::chrono::steady_clock::now() > leaving.unused_until) leaving.child->stop();
  }
  const int status = leaving.child->wait();
  convergence::VcpuQuota::release_abandoned();  // in case the process was killed
  Lock lock(mutex_);
  const std::string path = leaving.route.path(config_.runtime_dir);
  spdlog::info("route {} has ended with status {}: {}", path, status, outcome_of(leaving.progress));
  remove_route_dir(config_.runtime_dir, leaving.route);
  leaving.child.reset();
  leaving.over = true;
  share_out();
}

void Routes::drop(const Route& route) {
  Lock lock(mutex_);
  auto found = leaving_.find(route.path(config_.runtime_dir));
  if (found != leaving_.end()) hurry(*found->second);
}

void Routes::hurry(Leaving& leaving) {
  leaving.patience = std::min(leaving.patience, kNews);
  leaving.unused_until = std::min(leaving.unused_until, std::chrono::steady_clock::now() + leaving.patience);
}

Result<> Routes::set_bandwidth(const std::string& path, uint64_t bandwidth) {
  Lock lock(mutex_);
  auto found = leaving_.find(path);
  if (found == leaving_.end() || found->second->over) {
    return fail("no route at {} leaves this host (`wherry status` lists those that do)", path);
  }
  found->second->bandwidth = bandwidth;
  share_out();
  return {};
}

// Tells each route its bandwidth. An unused route gets no share yet; it is told the share that it will have.
void Routes::share_out() {
  std::vector<Leaving*> used;
  std::vector<Leaving*> waiting;
  for (auto& [path, leaving] : leaving_) {
    if (!leaving->over) (leaving->used ? used : waiting).push_back(leaving.get());
  }
  std::vector<uint64_t> limits;
  limits.reserve(used.size() + 1);
  for (const Leaving* each : used) limits.push_back(each->bandwidth);
  const auto shares = divide_bandwidth(config_.bandwidth, limits);
  for (size_t i = 0; i < used.size(); ++i) tell_bandwidth(used[i]->child->socket(), shares[i]);
  for (const Leaving* each : waiting) {
    limits.push_back(each->bandwidth);
    tell_bandwidth(each->child->socket(), divide_bandwidth(config_.bandwidth, limits).back());
    limits.pop_back();
  }
}

nlohmann::json Routes::list() const {
  Lock lock(mutex_);
  nlohmann::json all = nlohmann::json::array();
  for (const auto& [path, leaving] : leaving_) {
    if (leaving->over) continue;
    all.push_back({{"path", path},
                   {"disks", leaving->route.disks_path(config_.runtime_dir)},
                   {"peer", leaving->route.host},
                   {"uri", leaving->uri},
                   {"process", leaving->child->pid()},
                   {"used", leaving->used},
                   {"progress", leaving->progress}});
  }
  return all;
}

// Joins the threads of routes that have ended.
void Routes::reap() {
  std::vector<std::unique_ptr<Leaving>> over;
  {
    Lock lock(mutex_);
    for (auto at = leaving_.begin(); at != leaving_.end();) {
      const auto next = std::next(at);
      if (at->second->over) {
        over.push_back(std::move(at->second));
        leaving_.erase(at);
      }
      at = next;
    }
  }
  for (auto& each : over) each->thread.join();
}

Routes::~Routes() {
  {
    Lock lock(mutex_);
    closing_ = true;
    for (auto& [path, leaving] : leaving_) hurry(*leaving);
  }
  for (auto& [path, leaving] : leaving_) leaving->thread.join();
}

}  // namespace wherry::daemon
