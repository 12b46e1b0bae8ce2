#include "qemu-glue/daemon/arrivals.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <new>

#include "base/start_thread.h"
#include "qemu-glue/daemon/bounds.h"
#include "qemu-glue/daemon/runtime_dir.h"
#include "transport/socket/listener.h"
#include "transport/wire/control.h"

namespace wherry::daemon {
namespace {

Result<Route> route_of(const FirstFrame& first) {
  auto named = member<std::string>(first.body, "route");
  if (!named || named->empty())
    return fail("this is wherryd: a migration needs a route here (`wherry route` makes one)");
  return Route::parse(*named);
}

}  // namespace

Result<> Arrivals::announce(const Caller& caller, const FirstFrame& first) {
  if (auto root = caller.check_root("a migration"); !root) return root;
  auto route = route_of(first);
  if (!route) return pass_on(route);
  if (auto sound = check(*route); !sound) return sound;
  const auto now = Clock::now();
  Lock lock(mutex_);
  std::erase_if(announced_, [&](const auto& each) { return each.second.until <= now; });
  if (announced_.contains(route->text()) || arriving_.contains(route->text()))
    return fail("route {} is in use here", route->text());
  const size_t of_one = std::count_if(announced_.begin(), announced_.end(),
                                      [&](const auto& each) { return each.second.peer == caller.peer; });
  if (of_one >= kAnnouncedOfOne || announced_.size() >= kAnnouncedOfAll) {
    return fail("too many routes of {} have been made and not used ({}; of all {})", caller.peer, of_one,
                announced_.size());
  }
  announced_[route->text()] = {caller.peer, now + config_.route_timeout};
  return {};
}

Result<Arrivals::Place> Arrivals::admit(const Caller& caller, const FirstFrame& first) {
  reap();
  auto route = route_of(first);
  if (!route) return pass_on(route);
  const bool is_hello = first.type == FrameType::hello;
  if (auto root = is_hello ? caller.check_root("a migration") : Result<>(); !root) return pass_on(root);
  Lock lock(mutex_);
  if (const auto known = arriving_.find(route->text()); known != arriving_.end()) {
    if (known->second->peer != caller.peer) return fail("route {} is another host's", route->text());
    return Place{*route, known->second, false};
  }
  if (!is_hello) return fail("route {} has no migration here", route->text());
  if (auto may = may_begin(*route, caller); !may) return pass_on(may);
  announced_.erase(route->text());
  auto arriving = std::make_shared<Arriving>();
  arriving->peer = caller.peer;
  arriving->address = caller.text;
  arriving_[route->text()] = arriving;
  return Place{*route, std::move(arriving), true};
}

Result<> Arrivals::may_begin(const Route& route, const Caller& caller) const {
  const auto known = announced_.find(route.text());
  if (known == announced_.end() || known->second.peer != caller.peer || known->second.until <= Clock::now()) {
    return fail(
        "route {} is not known here: wherryd of {} has not announced it. A migration begins through its "
        "gateway "
        "or with `wherry route` there",
        route.text(), caller.peer);
  }
  const size_t of_one = std::count_if(arriving_.begin(), arriving_.end(),
                                      [&](const auto& each) { return each.second->peer == caller.peer; });
  if (of_one < kArrivalsOfOne && arriving_.size() < kArrivalsOfAll) return {};
  return fail("too many migrations of {} arrive here at once ({}; of all {}): wait until some have ended",
              caller.peer, of_one, arriving_.size());
}

Result<> Arrivals::begin(const Place& place, const Fd& connection) {
  Result<> begun;
  try {
    begun = start_there(place);
  } catch (const std::bad_alloc&) {
    begun = fail("out of memory");
  }
  if (!begun) {
    give_up(place);
    return begun;
  }
  return take(place, connection);
}

void Arrivals::give_up(const Place& place) {
  Lock lock(mutex_);
  arriving_.erase(place.route.text());
}

Result<> Arrivals::take(const Place& place, const Fd& connection) {
  Lock lock(mutex_);
  if (place.arriving->over) return fail("the migration of route {} has ended here", place.route.text());
  if (!place.arriving->child)
    return fail("the migration of route {} is only beginning here", place.route.text());
  return hand_over(place.arriving->child->socket(), connection);
}

Result<> Arrivals::check(const Route& route) const {
  // In the directories of this host's peers, Wherry listens on the paths, not QEMU.
  if (config_.peers.contains(route.host))
    return fail("this host is not {0}: its wherryd knows {0} as a peer", route.host);
  return route.check_paths(config_.runtime_dir);
}

// Takes its time, so nobody waits for it with mutex_.
Result<> Arrivals::start_there(const Place& place) {
  const Route& route = place.route;
  auto qemu = config_.qemu_user.empty() ? LocalUser{.id = ::geteuid(), .group = ::getegid()}
                                        : user_named(config_.qemu_user);
  if (!qemu) return pass_on(qemu);
  if (auto made = make_route_dir(config_.runtime_dir, route, *qemu); !made) return made;
  auto started = start(route, place.arriving);
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
    all.push_back({{"route", route}, {"peer", arriving->address}, {"process", arriving->child->pid()}});
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
