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
  bool begins = false;
  std::shared_ptr<Arriving> arriving;
  {
    Lock lock(mutex_);
    auto& known = arriving_[route->text()];
    begins = !known;
    if (begins) {
      if (auto may = may_begin(*route, first.type); !may) {
        arriving_.erase(route->text());
        return may;
      }
      known = std::make_shared<Arriving>();
      known->peer = peer_address(connection.get());
    }
    arriving = known;
  }
  if (begins) {
    if (auto begun = begin(*route, arriving); !begun) {
      Lock lock(mutex_);
      arriving_.erase(route->text());
      return begun;
    }
  }
  Lock lock(mutex_);
  if (arriving->over) return fail("the migration of route {} has ended here", route->text());
  if (!arriving->child) return fail("the migration of route {} is only beginning here", route->text());
  return hand_over(arriving->child->socket(), connection);
}

// The caller holds mutex_, and the route has its place in arriving_.
Result<> Arrivals::may_begin(const Route& route, FrameType first) const {
  if (first != FrameType::hello) return fail("route {} has no migration here", route.text());
  if (arriving_.size() > kMostArrivals) return fail("too many migrations arrive at once ({})", kMostArrivals);
  // In the directories of this host's peers, Wherry listens on the paths, not QEMU.
  if (config_.peers.contains(route.host))
    return fail("this host is not {0}: its wherryd knows {0} as a peer", route.host);
  return route.check_paths(config_.runtime_dir);
}

// Takes its time, so nobody waits for it with mutex_.
Result<> Arrivals::begin(const Route& route, const std::shared_ptr<Arriving>& arriving) {
  auto qemu = config_.qemu_user.empty() ? LocalUser{.id = ::geteuid(), .group = ::getegid()}
                                        : user_named(config_.qemu_user);
  if (!qemu) return pass_on(qemu);
  if (auto made = make_route_dir(config_.runtime_dir, route, *qemu); !made) return made;
  auto started = start(route, arriving);
  if (!started) remove_route_dir(config_.runtime_dir, route);
  return started;
}

Result<> Arrivals::start(const Route& route, const std::shared_ptr<Arriving>& arriving) {
  std::vector<std::string> argv{wherry_,         "receive",
                                "--listen",      config_.listen->text,
                                "--handed-over", std::to_string(kChildSocket),
                                "--qemu",        "unix:" + route.path(config_.runtime_dir),
                                "--disks",       "unix:" + route.disks_path(config_.runtime_dir)};
  if (!config_.trace.empty()) argv.insert(argv.end(), {"--trace", config_.trace});
  auto child = Child::spawn(argv);
  if (!child) return pass_on(child);
  spdlog::info("route {} arrives here (process {})", route.text(), (*child)->pid());
  std::unique_ptr<Child> unwatched;  // ended without mutex_
  Lock lock(mutex_);
  arriving->child = std::move(*child);
  auto watches = start_thread("arrival", [this, route, arriving] { watch(route, *arriving); });
  if (!watches) {
    unwatched = std::move(arriving->child);
    return pass_on(watches);
  }
  arriving->thread = std::move(*watches);
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
    Lock lock(mutex_);
    if (!closing_) continue;
    arriving.child->let_go();
    return;
  }
  const int status = arriving.child->wait();
  spdlog::info("route {} has ended here with status {}", route.text(), status);
  remove_route_dir(config_.runtime_dir, route);
  Lock lock(mutex_);
  arriving.child.reset();
  arriving.over = true;
}

nlohmann::json Arrivals::list() const {
  Lock lock(mutex_);
  nlohmann::json all = nlohmann::json::array();
  for (const auto& [route, arriving] : arriving_) {
    if (!arriving->child) continue;
    all.push_back({{"route", route}, {"peer", arriving->peer}, {"process", arriving->child->pid()}});
  }
  return all;
}

// Joins the threads of migrations that have ended.
void Arrivals::reap() {
  std::vector<std::shared_ptr<Arriving>> over;
  {
    Lock lock(mutex_);
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
    Lock lock(mutex_);
    closing_ = true;
  }
  for (auto& [route, arriving] : arriving_) {
    if (arriving->thread.joinable()) arriving->thread.join();
  }
}

}  // namespace wherry::daemon
