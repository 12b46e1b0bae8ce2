#include "qemu-glue/convergence/convergence.h"

#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "qemu-glue/convergence/auto_converge.h"
#include "qemu-glue/convergence/dirty_limit.h"
#include "qemu-glue/convergence/vcpu_quota.h"
#include "qemu-glue/monitor/guest_page.h"
#include "qemu-glue/monitor/json_member.h"
#include "qemu-glue/monitor/migration_status.h"
#include "qemu-glue/monitor/run_state.h"

namespace wherry::convergence {
namespace {

using nlohmann::json;
using qemu::number_member;

// What a switchover takes without pages: idle guests of QEMU 7.2 to 11.1 under TCG are away for 4 to 9 ms,
// mostly for 4 to 5 (bench/downtime --workload idle). Round trips come on top.
constexpr double kFixed = 0.01;
constexpr Downtime kUsual{.pages = 0.0024, .placed = 0.0005, .start = 0.0009};
constexpr int kRoundTrips = 3;
// What QEMU's windows of 0.1 s saw in so many seconds is remembered.
constexpr double kRates = 1;
// What the lanes say of their rates may be a moment's: it counts as far as it is the mean of about so many
// seconds.
constexpr double kSteadyRates = 0.3;
// And what is to be expected of them is the mean of so many.
constexpr double kUsually = 1;
// Bytes a second, a page in a window: below that, what has landed are the few bytes that a stream begins
// with.
constexpr double kPages = 4096 / 0.1;
// While the guest does not run here.
constexpr std::chrono::milliseconds kAway{100};
// With nothing at all to remain, QEMU would not look whether pages were written meanwhile.
constexpr double kLeastRemaining = 4096;
constexpr double kLeastRate = 1000;
// A parameter is told anew if it changes by more than that.
constexpr double kNews = 0.03;
// A throttle that is so close to what was decided is that.
constexpr double kClose = 0.01;
// Milliseconds; the most that QEMU takes.
constexpr double kLongest = 2'000'000;

// Of what was a mean so many lengths of its window ago, and what is now.
double mean(double before, double now, double windows) {
  const double kept = std::exp(-windows);
  return kept * before + (1 - kept) * now;
}

// Of RAM; and of devices that have much (VFIO), where QEMU says it (11.1). It says that for both together, as
// it was when it reckoned last, which may be 50 ms ago, or a pass: so RAM's own figure is better where it is
// all.
double bytes_left(const json& query_migrate, const json& ram) {
  const double of_ram = number_member(ram, "remaining");
  if (!query_migrate.contains("vfio")) return of_ram;
  return std::max(of_ram, number_member(query_migrate, "remaining"));
}

Result<std::vector<pid_t>> vcpu_threads(Monitor& qemu) {
  auto vcpus = qemu.execute("query-cpus-fast");
  if (!vcpus) return pass_on(vcpus);
  std::vector<pid_t> threads;
  for (const json& vcpu : *vcpus) {
    if (const auto thread = static_cast<pid_t>(number_member(vcpu, "thread-id")); thread > 0)
      threads.push_back(thread);
  }
  std::sort(threads.begin(), threads.end());
  threads.erase(std::unique(threads.begin(), threads.end()), threads.end());  // TCG may have one for all
  if (threads.empty()) return fail("QEMU does not name its vCPUs' threads");
  return threads;
}

Result<std::unique_ptr<Throttle>> take_quota(Monitor& qemu, pid_t process) {
  if (process <= 0) return fail("QEMU's process cannot be seen from here");
  auto threads = vcpu_threads(qemu);
  if (!threads) return pass_on(threads);
  return VcpuQuota::take(process, *threads);
}

// What a killed Wherry told that QEMU. What cannot be undone here is left to be found.
void release_abandoned(Monitor& qemu, pid_t process) {
  AutoConverge::release_abandoned(qemu);
  for (const QemuMark::Left& left : QemuMark::abandoned()) {
    if (left.qemu != process) continue;
    if (left.throttle == DirtyLimit::kName && !qemu.execute("cancel-vcpu-dirty-limit")) continue;
    if (!left.parameters.empty() && !qemu.execute("migrate-set-parameters", left.parameters)) continue;
    std::error_code error;
    std::filesystem::remove(left.file, error);
  }
}

}  // namespace

Convergence::Convergence(Monitor& qemu, pid_t process, const Uri& uri, std::function<Lanes()> lanes,
                         const Door& door)
    : qemu_(qemu), process_(process), wish_(uri), lanes_(std::move(lanes)), door_(door) {}

Result<std::unique_ptr<Convergence>> Convergence::begin(Monitor& qemu, pid_t process, const Uri& uri,
                                                        std::function<Lanes()> lanes, const Door& door) {
  VcpuQuota::release_abandoned();
  release_abandoned(qemu, process);
  auto parameters = qemu.execute("query-migrate-parameters");
  if (!parameters) return pass_on(parameters);
  std::unique_ptr<Convergence> convergence(new Convergence(qemu, process, uri, std::move(lanes), door));
  convergence->takes_rate_ = parameters->contains("avail-switchover-bandwidth");
  for (const char* name : {"downtime-limit", "avail-switchover-bandwidth"}) {
    if (parameters->contains(name)) convergence->before_[name] = (*parameters)[name];
  }
  if (process > 0) convergence->mark_.emplace(process, convergence->before_);
  if (uri.throttle_most > 0 && !convergence->next_throttle())
    convergence->say("the guest cannot be slowed down: " + convergence->state_.throttle_reason);
  if (auto threads = vcpu_threads(qemu); threads && process > 0)
    convergence->vcpu_time_ = VcpuTime::of(process, *threads);
  qemu.on_stop([self = convergence.get()](double ago) { self->stopped(ago); });
  // Until the lanes have shown what they can, only what is next to nothing may remain.
  convergence->told_ = {{"downtime-limit", 1}};
  if (auto told = qemu.execute("migrate-set-parameters", convergence->told_); !told) return pass_on(told);
  return convergence;
}

// Whether there is one.
bool Convergence::next_throttle() {
  struct Way {
    const char* name;
    bool in_qemu;  // what it sets
    Result<std::unique_ptr<Throttle>> (*take)(Monitor& qemu, pid_t process);
  };
  constexpr std::array kWays = {
      Way{DirtyLimit::kName, true, [](Monitor& qemu, pid_t) { return DirtyLimit::take(qemu); }},
      Way{VcpuQuota::kName, false, take_quota},
      Way{AutoConverge::kName, true, [](Monitor& qemu, pid_t) { return AutoConverge::take(qemu); }}};
  std::string why_not;
  if (throttle_) why_not = fmt::format("{}: not enough", state_.throttle_by);
  const char* by = nullptr;
  while (!by && next_throttle_ < kWays.size()) {
    const Way& way = kWays[next_throttle_++];
    auto taken = way.take(qemu_, process_);  // without the lock: meanwhile a stop may be heard
    if (taken) {
      throttle_ = std::move(*taken);
      by = way.name;
      if (mark_) mark_->set_throttle(way.in_qemu ? by : "");
      spdlog::info("throttle: {}{}", by, why_not.empty() ? "" : fmt::format(" ({})", why_not));
    } else {
      why_not += fmt::format("{}{}: {}", why_not.empty() ? "" : "; ", way.name, taken.error().message);
    }
  }
  std::lock_guard lock(mutex_);
  if (by) state_.throttle_by = by;
  state_.throttle_reason = why_not;
  return by;
}

Convergence::~Convergence() {
  qemu_.on_stop({});
  // It may fail where QEMU is gone, and then there is nothing to set back.
  (void)qemu_.execute("migrate-set-parameters", before_);
}

Result<std::chrono::milliseconds> Convergence::look(const json& query_migrate) {
  if (qemu::phase_of(query_migrate) != qemu::MigrationPhase::active) return kAway;
  const json ram = query_migrate.value("ram", json::object());
  const auto passes = static_cast<uint64_t>(number_member(ram, "dirty-sync-count"));
  if (stopped_ && !passes_then_ && qemu::stopped_by_others(qemu_)) forget_stop();
  if (stopped_) {
    // For the switchover QEMU begins at most one pass more. A guest that somebody has let go on begins
    // others.
    if (!passes_then_) passes_then_ = passes;
    if (passes <= *passes_then_ + 1) return kAway;
    stopped_ = false;
  }
  const Lanes lanes = lanes_();
  const double t = now();
  const double ago = controller_ ? t - looked_ : std::numeric_limits<double>::infinity();
  looked_ = t;
  landing_ = mean(landing_, lanes.landing, ago / kSteadyRates);
  link_ = mean(link_, lanes.link, ago / kSteadyRates);
  usually_ = mean(usually_, lanes.landing, ago / kUsually);
  if (!controller_) {
    const double round_trip = std::chrono::duration<double>(lanes.round_trip).count();
    fixed_ = kFixed + door_.takes.total() + (kRoundTrips + door_.round_trips) * round_trip;
    const Downtime usual{.pages = kUsual.pages + door_.takes.pages,
                         .placed = kUsual.placed + door_.takes.placed + round_trip,
                         .start = kUsual.start + door_.takes.start + door_.round_trips * round_trip};
    controller_.emplace(Controller::Limits{.downtime = std::chrono::duration<double>(wish_.downtime).count(),
                                           .throttle = throttle_ ? wish_.throttle_most : 0,
                                           .fixed = fixed_,
                                           .usual = usual});
  }
  peak_ = std::max(peak_, lanes.goodput);
  if (peak_ >= kPages && !pages_since_) pages_since_ = t;
  // What the lanes could do is a model's, so it counts only as far as something like it was seen.
  const double landing = std::min({lanes.landing, landing_, peak_});
  const double remaining = bytes_left(query_migrate, ram);
  const double rate = qemu_rate(ram, t);
  const auto [ran, used] = this->ran(t);
  const Decision decision = controller_->step({
      .t = t,
      .ran = ran,
      .used = used,
      .passes = passes,
      .remaining = remaining,
      .bound = lanes.bound,
      .landing = landing,
      .usually = std::min(usually_, peak_),
      .link = std::min(lanes.link, link_),
  });
  // QEMU that sends nothing waits for the vCPUs, to stop them.
  const bool stops = remaining == std::exchange(remaining_, remaining) && lanes.in_flight == 0;
  const double holds = slow_down(decision.throttle, stops, query_migrate, t);
  if (!stops && holds < decision.throttle - kClose) lags_ = passes;
  {
    std::lock_guard lock(mutex_);
    state_.remaining = static_cast<uint64_t>(remaining);
    state_.dirty_rate =
        number_member(ram, "dirty-pages-rate") * qemu::page_size_told(query_migrate).value_or(4096);
    if (const auto predicted = controller_->if_stopped(t, ran, lanes.on_way);
        predicted && pages_since_ && t - *pages_since_ >= kSteadyRates)
      state_.predicted = predicted;
  }
  const std::chrono::milliseconds look_in(std::lround(decision.look_in * 1000));
  // What a throttle does not bring shows at the end of a pass that had all of it.
  if (decision.out_of_reach && passes > lags_ + 1 && !missed_) {
    if (state_.throttle_by == DirtyLimit::kName && next_throttle()) {
      lags_ = passes;
    } else {
      missed_ = true;
      if (auto done = miss(*decision.out_of_reach); !done) return pass_on(done);
    }
  }
  if (let_go_ || landing <= 0) return look_in;
  // No reason to end a migration: QEMU keeps to what it was told last.
  if (auto told = tell_qemu(decision, rate, landing); !told) say(told.error().message);
  return look_in;
}

void Convergence::stopped(double ago) {
  // QEMU still asks the vCPUs' threads for their registers.
  if (throttle_) throttle_->let_stop();
  stopped_ = true;
  passes_then_.reset();
  std::lock_guard lock(mutex_);
  state_.stopped = std::chrono::steady_clock::now() - std::chrono::microseconds(std::llround(ago * 1e6));
  if (!pages_since_) return;
  const double t = now() - ago;
  if (const auto predicted = controller_->stopped(t, ran(t).first, lanes_().on_way))
    state_.predicted = predicted;
}

// Of a guest that somebody else has stopped nothing is to be slowed, and its absence is not the switchover's.
void Convergence::forget_stop() {
  stopped_ = false;
  std::lock_guard lock(mutex_);
  state_.stopped.reset();
}

double Convergence::now() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

// How long the guest's processors have run, and what the busiest has used; where that cannot be seen, as long
// as they might have.
std::pair<double, double> Convergence::ran(double now) {
  if (!vcpu_time_) {
    const double most = seen_ - throttled_ + (1 - state_.throttle.value_or(0) / 100) * (now - seen_);
    return {most, most};
  }
  const VcpuTime::Ran ran = vcpu_time_->ran();
  const double length = now - std::exchange(ran_at_, now);
  const double busy = ran.busiest - std::exchange(busiest_, ran.busiest);
  if (throttle_ && length > 0) used_ += throttle_->taken(busy / length) * length;
  return {ran.all, used_};
}

// The fastest of the last windows.
double Convergence::qemu_rate(const json& ram, double now) {
  rates_.emplace_back(now, number_member(ram, "mbps") * 1e6 / 8);
  while (rates_.front().first < now - kRates) rates_.pop_front();
  const auto slower = [](const auto& a, const auto& b) { return a.second < b.second; };
  return std::max_element(rates_.begin(), rates_.end(), slower)->second;
}

Result<> Convergence::tell_qemu(const Decision& decision, double rate, double landing) {
  json parameters;
  if (takes_rate_) {
    const double time =
        std::max(1.0, std::chrono::duration<double, std::milli>(wish_.downtime).count() - fixed_ * 1000);
    const double may_remain = std::max(decision.may_remain, kLeastRemaining);
    parameters["downtime-limit"] = static_cast<int64_t>(time);
    parameters["avail-switchover-bandwidth"] =
        static_cast<int64_t>(std::max(kLeastRate, may_remain / time * 1000));
  } else {
    // While QEMU has not measured its rate, any time may stand for anything. Nor does kLeastRemaining count:
    // by the rates of a migration's first moment it stands for seconds.
    const double time = rate > 0 ? decision.may_remain / std::max(rate, landing) * 1000 : 0;
    parameters["downtime-limit"] = static_cast<int64_t>(std::max(1.0, time));
  }
  const bool news = std::any_of(parameters.items().begin(), parameters.items().end(), [&](const auto& each) {
    const double old = number_member(told_, each.key().c_str());
    return std::abs(each.value().template get<double>() - old) > kNews * old;
  });
  if (!news) return {};
  auto told = qemu_.execute("migrate-set-parameters", parameters, kSwitchoverTimeout);
  if (!told) return pass_on(told);
  told_ = parameters;
  return {};
}

// Returns how much of that holds.
double Convergence::slow_down(double part, bool stops, const json& query_migrate, double now) {
  if (!throttle_) return part;
  if (stops) {
    throttle_->let_stop();
  } else if (auto slowed = throttle_->throttle(part); !slowed) {
    say(slowed.error().message);
    throttle_.reset();
  }
  const double holds = throttle_ ? throttle_->holds(query_migrate) : 0;
  std::lock_guard lock(mutex_);
  throttled_ += state_.throttle.value_or(0) / 100 * (now - std::exchange(seen_, now));
  state_.throttle = holds * 100;
  state_.throttle_peak = std::max(holds * 100, state_.throttle_peak.value_or(0));
  state_.throttle_mean = throttled_ / now * 100;
  return holds;
}

Result<> Convergence::miss(const OutOfReach& floor) {
  const std::string what = fmt::format(
      "a downtime of {} ms is out of reach: {}the guest rewrites as much as takes {:.0f} ms, {}. "
      "What would do: downtime={:.0f}ms, pages that land {:.1f} times as fast (a faster link, more streams)"
      "{}, or postcopy",
      wish_.downtime.count(), throttle_ ? fmt::format("slowed by {:.0f} %, ", floor.throttle * 100) : "",
      floor.downtime * 1000, throttle_ ? "pass by pass" : "and it cannot be slowed down",
      std::ceil(floor.downtime * 1000), std::max(1.1, floor.faster),
      wish_.throttle_most < Throttle::kMost ? ", more throttle" : "");
  if (wish_.on_miss == OnMiss::abort) return fail("{} (on-miss=abort)", what);
  say(what);
  switch (wish_.on_miss) {
    case OnMiss::go_on:
    case OnMiss::abort:
      return {};
    case OnMiss::postcopy: {
      auto started = qemu_.execute("migrate-start-postcopy");
      if (!started) say(fmt::format("postcopy cannot begin: {}", started.error().message));
      return {};
    }
    case OnMiss::pause: {
      let_go_ = true;
      json parameters = {{"downtime-limit", static_cast<int64_t>(kLongest)}};
      if (takes_rate_) parameters["avail-switchover-bandwidth"] = 0;
      auto told = qemu_.execute("migrate-set-parameters", parameters, kSwitchoverTimeout);
      if (!told) say(told.error().message);
      return {};
    }
  }
  return {};
}

void Convergence::say(const std::string& message) {
  std::lock_guard lock(mutex_);
  if (!state_.messages.empty() && state_.messages.back() == message) return;  // each look may say it again
  spdlog::warn("{}", message);
  state_.messages.push_back(message);
}

State Convergence::state() const {
  std::lock_guard lock(mutex_);
  return state_;
}

}  // namespace wherry::convergence
