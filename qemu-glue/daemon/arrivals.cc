#include "qemu-glue/daemon/arrivals.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include "base/start_thread.h"
#include "qemu-glue/daemon/runtime_dir.h"
#include "transport/socket/listener.h"
#include "transport/socket/socket.h"
#include "transport/wire/control.h"

namespace wherry::daemon {
namespace {

// Limits the processes that peers can make this host start.
constexpr size_t kMostArrivals = 64;

}  // namespace

Result<> Arrivals::take(const Fd& connection, const FirstFrame& first) {
  reap();
  auto named = member<std::string>(first.body, "route");
  if (!named || named->empty()) {
    return fail("this is wherryd: a migration needs a route here (`wherry route` makes one)");
  }
  auto route = Route::parse(*named);
  if (!route) return pass_on(route);
  std::lock_guard lock(mutex_);
  auto at = arriving_.find(route->text());
  if (at != arriving_.end() && at->second->over)
    return fail("the migration of route {} has ended here", route->text());
  if (at == arriving_.end()) {
    if (first.type != FrameType::hello) return fail("route {} has no migration here", route->text());
    if (auto begun = begin(*route, peer_address(connection.get())); !begun) return begun;
    at = arriving_.find(route->text());
  }
  return hand_over(at->second->child->socket(), connection);
}

Result<> Arrivals::begin(const Route& route, const std::string& peer) {
  if (arriving_.size() >= kMostArrivals)
    return fail("too many migrations arrive at once ({})", kMostArrivals);
  // In the directories of this host's peers, Wherry listens on the paths, not QEMU.
  if (config_.peers.contains(route.host))
    return fail("this host is not {0}: its wherryd knows {0} as a peer", route.host);
  if (auto fits = route.check_paths(config_.runtime_dir); !fits) return fits;
  if (auto made = make_directory_for(config_.group, route.directory(config_.runtime_dir)); !made) return made;
  std::vector<std::string> argv{wherry_,         "receive",
                                "--listen",      config_.listen->text,
                                "--handed-over", std::to_string(kChildSocket),
                                "--qemu",        "unix:" + route.path(config_.runtime_dir),
                                "--disks",       "unix:" + route.disks_path(config_.runtime_dir)};
  if (!config_.trace.empty()) argv.insert(argv.end(), {"--trace", config_.trace});
  auto child = Child::spawn(argv);
  if (!child) return pass_on(child);
  spdlog::info("route {} arrives here (process {})", route.text(), (*child)->pid());
  auto arriving = std::make_unique<Arriving>();
  arriving->peer = peer;
  arriving->child = std::move(*child);
  auto watches = start_thread([this, route, kept = arriving.get()] { watch(route, *kept); });
  if (!watches) return pass_on(watches);
  arriving->thread = std::move(*watches);
  arriving_[route.text()] = std::move(arriving);
  return {};
}

// Runs in a thread of its own until the process ends.
void Arrivals::watch(const Route& route, Arriving& arriving) {
  const auto deadline = std::chrono::steady_clock::now() + config_.route_timeout;
  std::string line;
  bool begun = false;
  Child::Said said = Child::Said::nothing;
  while (said != Child::Said::end) {
    said = arriving.child->read_line(line, kChildLook);
    begun = begun || said == Child::Said::line;  // its first line says that its session is complete
    if (!begun && std::chrono::steady_clock::now() > deadline) arriving.child->stop();
    std::lock_guard lock(mutex_);
    if (!closing_) continue;
    arriving.child->let_go();
    return;
  }
  const int status = arriving.child->wait();
  spdlog::info("route {} has ended here with status {}", route.text(), status);
  std::lock_guard lock(mutex_);
  // A killed QEMU does not remove its sockets.
  ::unlink(route.path(config_.runtime_dir).c_str());
  ::unlink(route.disks_path(config_.runtime_dir).c_str());
  arriving.child.reset();
  arriving.over = true;
}

nlohmann::json Arrivals::list() const {
  std::lock_guard lock(mutex_);
  nlohmann::json all = nlohmann::json::array();
  for (const auto& [route, arriving] : arriving_) {
    if (arriving->over) continue;
    all.push_back({{"route", route}, {"peer", arriving->peer}, {"process", arriving->child->pid()}});
  }
  return all;
}

// Joins the threads of migrations that have ended.
void Arrivals::reap() {
  std::vector<std::unique_ptr<Arriving>> over;
  {
    std::lock_guard lock(mutex_);
    for (auto at = arriving_.begin(); at != arriving_.end();) {
      const auto next = std::next(at);
      if (at->second->over) {
        over.push_back(std::move(at->second));
        arriving_.erase(at);
      }
      at = next;
    }
  }
  for (auto& each : over) each->thread.join();
}

Arrivals::~Arrivals() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  for (auto& [route, arriving] : arriving_) arriving->thread.join();
}

}  // namespace wherry::daemon
