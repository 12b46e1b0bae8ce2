#include "qemu-glue/convergence/convergence.h"

#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "qemu-glue/convergence/auto_converge.h"
#include "qemu-glue/convergence/dirty_limit.h"
#include "qemu-glue/convergence/vcpu_quota.h"
#include "qemu-glue/monitor/run_state.h"

namespace wherry::convergence {
namespace {

using Milliseconds = std::chrono::duration<double, std::milli>;

// The time between looks while the guest does not run here.
constexpr std::chrono::milliseconds kAway{100};

// Undoes what a killed Wherry has set in this QEMU. What cannot be undone now stays marked.
void release_abandoned(SourceQemu& qemu, pid_t process) {
  const auto monitor = qemu.monitor_for("cancel-vcpu-dirty-limit");
  if (monitor) AutoConverge::release_abandoned(**monitor);
  for (const QemuMark::Left& left : QemuMark::abandoned()) {
    if (left.qemu != process) continue;
    if (left.throttle == DirtyLimit::kName && (!monitor || !(*monitor)->execute("cancel-vcpu-dirty-limit")))
      continue;
    if (!left.parameters.empty() && !qemu.set_limits(limits_in(left.parameters))) continue;
    std::error_code error;
    std::filesystem::remove(left.file, error);
  }
}

bool stopped_by_others(SourceQemu& qemu) {
  const auto monitor = qemu.monitor_for("query-status");
  return monitor && qemu::stopped_by_others(**monitor);
}

// What is missing, and what would help.
std::string miss_message(const Uri& wish, const OutOfReach& floor, bool slowed) {
  return fmt::format(
      "a downtime of {} ms is out of reach: {}the guest rewrites what takes {:.0f} ms to send, {}. "
      "What would help: downtime={:.0f}ms, pages that land {:.1f} times as fast (a faster link, more streams)"
      "{}, or postcopy",
      wish.downtime.count(), slowed ? fmt::format("slowed by {:.0f} %, ", floor.throttle * 100) : "",
      floor.downtime * 1000, slowed ? "pass by pass" : "and it cannot be slowed down",
      std::ceil(floor.downtime * 1000), std::max(1.1, floor.faster),
      wish.throttle_most < Throttle::kMost ? ", more throttle" : "");
}

}  // namespace

Convergence::Convergence(SourceQemu& qemu, pid_t process, const Uri& uri, std::function<Lanes()> lanes,
                         const Door& door, const SwitchoverLimits& before)
    : qemu_(qemu),
      wish_(uri),
      lanes_(std::move(lanes)),
      door_(door),
      throttles_(qemu, process, before),
      told_(qemu, before) {}

Result<std::unique_ptr<Convergence>> Convergence::begin(SourceQemu& qemu, pid_t process, const Uri& uri,
                                                        std::function<Lanes()> lanes, const Door& door) {
  VcpuQuota::release_abandoned();
  release_abandoned(qemu, process);
  auto before = qemu.limits();
  if (!before) return pass_on(before);
  std::unique_ptr<Convergence> convergence(
      new Convergence(qemu, process, uri, std::move(lanes), door, *before));
  if (uri.throttle_most > 0 && !convergence->throttles_.take_next())
    convergence->say("the guest cannot be slowed down: " + convergence->throttles_.reason());
  convergence->show_throttle();
  if (auto threads = qemu.vcpu_threads(); threads && process > 0)
    convergence->vcpus_ = VcpuAccount(VcpuTime::of(process, *threads));
  qemu.on_stop([self = convergence.get()](double ago) { self->stopped(ago); });
  // Until the lanes have shown what they can do, next to nothing may remain.
  if (auto told = convergence->told_.go_on(); !told) return pass_on(told);
  return convergence;
}

Convergence::~Convergence() {
  qemu_.on_stop({});
}

Result<std::chrono::milliseconds> Convergence::look(const qemu::MigrationFigures& figures) {
  if (figures.phase != qemu::MigrationPhase::active || is_stopped(figures.passes)) return kAway;
  const Lanes lanes = lanes_();
  const double t = now();
  const LaneRates::Rates rates = rates_.look(t, lanes);
  const VcpuAccount::Ran ran = vcpus_.ran(t, throttles_.throttle());
  if (!controller_) controller_.emplace(controller_limits(lanes.round_trip));
  told_.note_rate(t, figures.rate);
  const Decision decision = controller_->step({
      .t = t,
      .ran = ran.all,
      .used = ran.used,
      .passes = figures.passes,
      .remaining = figures.remaining,
      .bound = lanes.bound,
      .landing = rates.landing,
      .usually = rates.usually,
      .link = rates.link,
  });
  // A QEMU that sends nothing waits for the vCPUs, to stop them.
  const bool stops =
      figures.remaining == std::exchange(remaining_, figures.remaining) && lanes.in_flight == 0;
  slow_down(decision.throttle, stops, figures, t);
  show(figures, rates_.are_steady(t) ? controller_->if_stopped(t, ran.all, lanes.on_way) : std::nullopt);
  if (decision.out_of_reach) {
    if (auto done = out_of_reach(*decision.out_of_reach, figures.passes); !done) return pass_on(done);
  }
  if (rates.landing > 0) {
    const ToldQemu::Allowance allowance{
        .may_remain = decision.may_remain,
        .time_ms = Milliseconds(wish_.downtime).count() - controller_->limits().fixed * 1000,
        .landing = rates.landing};
    // An error does not end the migration: QEMU keeps to what it was told last.
    if (auto told = told_.tell(allowance); !told) say(told.error().message);
  }
  return std::chrono::milliseconds(std::lround(decision.look_in * 1000));
}

// Whether there is nothing to steer, because the guest is stopped here for the switchover.
bool Convergence::is_stopped(uint64_t passes) {
  if (stop_ && !stop_->passes && stopped_by_others(qemu_)) {
    // Somebody else has stopped it, which is not the switchover. Steering goes on; a guest that writes
    // nothing is not slowed.
    stop_.reset();
    Lock lock(mutex_);
    state_.stopped.reset();
  }
  if (!stop_) return false;
  // For the switchover QEMU begins at most one more pass. If it begins others, somebody has resumed the
  // guest.
  if (!stop_->passes) stop_->passes = passes;
  if (passes > *stop_->passes + 1) stop_.reset();
  return stop_.has_value();
}

void Convergence::stopped(double ago) {
  throttles_.let_stop();
  stop_.emplace();
  Lock lock(mutex_);
  state_.stopped = std::chrono::steady_clock::now() - std::chrono::microseconds(std::llround(ago * 1e6));
  if (!rates_.pages_land()) return;
  const double t = now() - ago;
  const double ran = vcpus_.ran(t, throttles_.throttle()).all;
  if (const auto predicted = controller_->stopped(t, ran, lanes_().on_way)) state_.predicted = predicted;
}

// Seconds since begin().
double Convergence::now() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

Controller::Limits Convergence::controller_limits(std::chrono::microseconds round_trip) const {
  const SwitchoverCost cost = switchover_cost(door_, round_trip);
  return {.downtime = std::chrono::duration<double>(wish_.downtime).count(),
          .throttle = throttles_.throttle() != nullptr ? wish_.throttle_most : 0,
          .fixed = cost.most,
          .usual = cost.usual,
          .zeros = cost.zeros};
}

void Convergence::slow_down(double part, bool stops, const qemu::MigrationFigures& figures, double t) {
  if (throttles_.throttle() == nullptr) return;
  if (auto slowed = throttles_.slow(part, stops, figures); !slowed) say(slowed.error().message);
  vcpus_.throttled(t, throttles_.holds());
  Lock lock(mutex_);
  state_.throttle.percent = Throttling::Percent{
      .now = *vcpus_.part() * 100, .peak = *vcpus_.most() * 100, .mean = *vcpus_.average(t) * 100};
}

void Convergence::show(const qemu::MigrationFigures& figures, const std::optional<Downtime>& predicted) {
  Lock lock(mutex_);
  state_.remaining = static_cast<uint64_t>(figures.remaining);
  state_.dirty_rate = figures.dirty_rate();
  if (predicted) state_.predicted = predicted;
}

void Convergence::show_throttle() {
  Lock lock(mutex_);
  state_.throttle.by = throttles_.by();
  state_.throttle.reason = throttles_.reason();
}

// Whether a throttle is enough shows only at the end of a pass that had all of it.
Result<> Convergence::out_of_reach(const OutOfReach& floor, uint64_t passes) {
  if (missed_ || !throttles_.held_for_a_pass(passes)) return {};
  const bool stronger = throttles_.take_stronger(passes);
  show_throttle();
  if (stronger) return {};
  missed_ = true;
  return miss(floor);
}

Result<> Convergence::miss(const OutOfReach& floor) {
  const std::string what = miss_message(wish_, floor, throttles_.throttle() != nullptr);
  if (wish_.on_miss == OnMiss::abort) return fail("{} (on-miss=abort)", what);
  say(what);
  switch (wish_.on_miss) {
    case OnMiss::go_on:
    case OnMiss::abort:
      break;
    case OnMiss::postcopy:
      if (auto started = qemu_.start_postcopy(); !started)
        say(fmt::format("postcopy cannot begin: {}", started.error().message));
      break;
    case OnMiss::pause:
      if (auto told = told_.let_go(); !told) say(told.error().message);
      break;
  }
  return {};
}

void Convergence::say(const std::string& message) {
  Lock lock(mutex_);
  if (!state_.messages.empty() && state_.messages.back() == message) return;  // each look may say it again
  spdlog::warn("{}", message);
  state_.messages.push_back(message);
}

State Convergence::state() const {
  Lock lock(mutex_);
  return state_;
}

}  // namespace wherry::convergence
