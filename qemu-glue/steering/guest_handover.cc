#include "qemu-glue/steering/guest_handover.h"

#include <utility>

#include "qemu-glue/monitor/migration_status.h"
#include "qemu-glue/monitor/run_state.h"
#include "qemu-glue/steering/kept_stopped.h"

namespace wherry {
namespace {

using qemu::RunState;

// How often the destination's QEMU is asked whether the guest has gone on, kMonitorTimeout apart.
constexpr int kResumeLooks = 6;

constexpr const char* kBound =
    "the guest was stopped by a debugger or for a snapshot, and no QEMU takes such a guest over: let it go "
    "on first (cont)";
constexpr const char* kAlone =
    "the destination's QEMU has the guest, and the source's does not answer: see that it has ended, then let "
    "the guest go on at the destination (cont)";
constexpr const char* kTwice =
    "the destination's QEMU has the guest as well, and lets it run: stop it on one host at once";

}  // namespace

GuestHandover::Side GuestHandover::side(Qmp& qmp) {
  return {qmp, [&qmp](std::chrono::milliseconds timeout) { return qmp.next_event(timeout); }};
}

GuestHandover::GuestHandover(Side source, Side destination)
    : source_(std::move(source)), destination_(std::move(destination)) {}

Result<> GuestHandover::begin(const std::string& destination) {
  auto here = qemu::ask_status(source_.monitor);
  if (!here) return pass_on(here);
  auto there = qemu::ask_status(destination_.monitor);
  if (!there) return pass_on(there);
  if (qemu::run_state_named(*there) != RunState::awaited) {
    return fail("the QEMU at {} does not wait for a migration (it is {}): start it with -incoming defer",
                destination, *there);
  }
  const auto state = qemu::run_state_named(*here);
  if (state == RunState::bound) return fail("{} (it is {})", kBound, *here);
  live_ = state == RunState::live;
  return {};
}

// The destination's QEMU might let the guest go on: one that was started without -S, with a guest that sleeps
// and that a source's QEMU before 9.0 wakes.
Result<> GuestHandover::stop() {
  if (std::exchange(live_, false)) {
    if (auto stopped = source_.monitor.execute("stop"); !stopped) return pass_on(stopped);
    stopped_ = true;
  }
  if (auto waits = destination_.monitor.execute("stop"); !waits) return pass_on(waits);
  return {};
}

Result<> GuestHandover::watch(std::chrono::milliseconds longest) {
  bool bound = false;
  for (auto event = source_.next_event(longest); event; event = source_.next_event({})) {
    if (event->name == "RESUME") {
      live_ = true;
      stop_s_.reset();
    }
    if (event->name != "STOP") continue;
    const auto by_others = qemu::stopped_by_others(source_.monitor);
    live_ = live_ && !by_others;
    stop_s_ = by_others ? std::nullopt : std::optional(event->time_s);
    bound = bound || by_others == RunState::bound;
  }
  if (bound) return fail("{}", kBound);
  return {};
}

Result<> GuestHandover::resume_there() {
  if (std::exchange(resumed_, true) || !live_) return {};
  auto now = qemu::ask_status(destination_.monitor);
  if (!now) return pass_on(now);
  // QEMU that still loads the guest takes "cont" for later. One that was started without -S has gone on by
  // itself.
  ran_there_ = qemu::run_state_named(*now) == RunState::live;
  if (!ran_there_) {
    if (auto resumed = destination_.monitor.execute("cont"); !resumed) return pass_on(resumed);
  }
  for (int look = 0; look < kResumeLooks; ++look) {
    if (hears_resume()) return {};
    now = qemu::ask_status(destination_.monitor);
    if (!now) return pass_on(now);
    ran_there_ = qemu::run_state_named(*now) == RunState::live;
    if (ran_there_) return {};
  }
  return fail(
      "the destination's QEMU has the guest and does not let it go on (it is {}): ask it why (query-status, "
      "and its log), and let the guest go on there (cont); do not let it go on at the source",
      *now);
}

// For a while. Whatever else QEMU says does not count, however much it is.
bool GuestHandover::hears_resume() {
  const auto until = std::chrono::steady_clock::now() + kMonitorTimeout;
  for (auto left = kMonitorTimeout; left.count() > 0;
       left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now())) {
    const auto event = destination_.next_event(left);
    if (!event) return false;
    if (event->name != "RESUME") continue;
    resume_s_ = event->time_s;
    ran_there_ = true;
    return true;
  }
  return false;
}

// QEMU would start even a guest that was stopped.
Result<> GuestHandover::postcopy_begins() {
  (void)watch({});  // it is too late to end the migration
  if (live_) return resume_there();
  if (auto stopped = destination_.monitor.execute("stop"); !stopped) return pass_on(stopped);
  return {};
}

// QEMU 10.0 and 11.1 do, if they are not told that the guest has arrived.
void GuestHandover::keep_stopped_here() {
  if (!kept_stopped(source_.monitor) && qemu::ask_run_state(source_.monitor) == RunState::live)
    (void)source_.monitor.execute("stop");
}

// What the source's QEMU says does not count if it has ended, nor if it was cancelled as it gave the guest up
// and the destination's QEMU was started without -S: that one may have the guest, or have it as well.
std::optional<std::string> GuestHandover::found_there() {
  const auto there = destination_.monitor.execute("query-migrate");
  if (!there || qemu::phase_of(*there) != qemu::MigrationPhase::completed) return std::nullopt;
  const bool alone = !source_.monitor.execute("query-status");
  if (!alone && qemu::ask_run_state(destination_.monitor) != RunState::live) return std::nullopt;
  return alone ? kAlone : kTwice;
}

void GuestHandover::undo() {
  // It may fail if the source's QEMU is gone, and then there is nothing to undo.
  if (stopped_) (void)source_.monitor.execute("cont");
}

std::optional<double> GuestHandover::downtime_ms() const {
  if (!stop_s_ || !resume_s_) return std::nullopt;
  return (*resume_s_ - *stop_s_) * 1000;
}

}  // namespace wherry
