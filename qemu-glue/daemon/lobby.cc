#include "qemu-glue/daemon/lobby.h"

#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <algorithm>
#include <new>
#include <utility>

#include "base/wait_ready.h"
#include "qemu-glue/daemon/bounds.h"

namespace wherry::daemon {
namespace {

constexpr std::chrono::milliseconds kDeaf{100};
// Accepted at once, before those that wait are looked at again.
constexpr int kAtOnce = 64;

// Whether it is one of the last descriptors: the kernel gives the lowest number that is free.
bool is_kept(const Fd& fd) {
  rlimit most{};
  ::getrlimit(RLIMIT_NOFILE, &most);
  return static_cast<rlim_t>(fd.get()) + kKeptDescriptors >= most.rlim_cur;
}

// Whom it is counted with: bounds.h says "one".
bool is_same(const Caller& a, const Caller& b) {
  return a.peer == b.peer && a.is_here == b.is_here;
}

std::string name_of(const Caller& caller) {
  if (!caller.peer.empty()) return "peer " + caller.peer;
  return caller.is_here ? "this host" : "hosts that are not peers";
}

}  // namespace

void Lobby::run() {
  for (;;) {
    try {
      if (!serve()) return;
    } catch (const std::bad_alloc&) {  // the connection that needed it has ended with that
      back_off("out of memory");
    }
  }
}

// Waits for what comes next, and serves it. False if the listener is stopped.
bool Lobby::serve() {
  std::vector<pollfd> ready;
  if (deaf_until_ && *deaf_until_ <= Clock::now()) deaf_until_.reset();
  if (!deaf_until_) listener_.add_to(ready);
  const auto listening = static_cast<ptrdiff_t>(ready.size());
  for (const Waiting& each : waiting_) ready.push_back({each.connection.get(), POLLIN, 0});
  std::optional<Clock::time_point> until = deaf_until_;
  if (!waiting_.empty()) until = std::min(until.value_or(waiting_.front().until), waiting_.front().until);
  if (auto waited = wait_ready(ready, until); !waited) {
    back_off(waited.error().message);
    listener_.back_off();
    return !listener_.stopped();
  }
  const auto is_over = [](const pollfd& each) {
    return (each.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
  };
  if (std::any_of(ready.begin(), ready.begin() + listening, is_over)) return false;
  const bool calls = std::any_of(ready.begin(), ready.begin() + listening,
                                 [](const pollfd& each) { return each.revents != 0; });
  ready.erase(ready.begin(), ready.begin() + listening);
  hear(ready);
  end_late();
  if (calls) accept();
  return true;
}

// Looks at those that are ready. `ready` has one entry for each that waits, in the same order.
void Lobby::hear(const std::vector<pollfd>& ready) {
  auto at = waiting_.begin();
  for (const pollfd& each : ready) {
    const auto here = at++;
    if (each.revents == 0) continue;
    auto first = look_for_first_frame(here->connection.get(), here->caller.text);
    if (!first) {
      refuse(here, first.error().message);
    } else if (*first) {
      Waiting heard = std::move(*here);
      waiting_.erase(here);
      heard_(std::move(heard.connection), heard.caller, **first);
    }
  }
}

void Lobby::end_late() {
  const auto now = Clock::now();
  while (!waiting_.empty() && waiting_.front().until <= now) {
    const std::string who = waiting_.front().caller.text;
    refuse(waiting_.begin(), who + ": " + kFirstFrameLate);
  }
}

void Lobby::accept() {
  for (int i = 0; i < kAtOnce; ++i) {
    auto connection = listener_.accept_waiting();
    if (!connection) return back_off(connection.error().message);
    if (!*connection) return;
    said_ = false;
    admit(std::move(*connection));
  }
}

void Lobby::admit(Fd connection) {
  Caller caller = Caller::of(connection.get(), config_);
  if (caller.is_stranger(config_)) {
    return refusals_.refuse(
        std::move(connection), caller.text,
        caller.host +
            " is not the address of a peer of this wherryd: name it under [peers] in its wherry.toml");
  }
  if (is_kept(connection)) {
    return refusals_.refuse(std::move(connection), caller.text,
                            "this wherryd has too many connections: it has no more descriptors for this one");
  }
  make_room(caller);
  waiting_.push_back({std::move(connection), std::move(caller), Clock::now() + kFirstFramePatience});
}

void Lobby::make_room(const Caller& caller) {
  const auto is_one = [&](const Waiting& each) { return is_same(each.caller, caller); };
  const auto of_one = std::count_if(waiting_.begin(), waiting_.end(), is_one);
  if (static_cast<size_t>(of_one) >= kUnheardOfOne) {
    refuse(std::find_if(waiting_.begin(), waiting_.end(), is_one),
           fmt::format("{} connections of {} have not said what they are for; it is the oldest", of_one,
                       name_of(caller)));
  } else if (waiting_.size() >= kUnheardOfAll) {
    refuse(waiting_.begin(),
           fmt::format("{} connections have not said what they are for; it is the oldest", waiting_.size()));
  }
}

void Lobby::refuse(std::list<Waiting>::iterator at, const std::string& why) {
  Fd connection = std::move(at->connection);
  const std::string who = std::move(at->caller.text);
  waiting_.erase(at);
  refusals_.refuse(std::move(connection), who, why);
}

void Lobby::back_off(const std::string& why) {
  deaf_until_ = Clock::now() + kDeaf;
  if (!std::exchange(said_, true))
    spdlog::warn("{}; further connections to {} have to wait", why, listener_.where().str());
}

}  // namespace wherry::daemon
