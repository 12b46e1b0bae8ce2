#include "qemu-glue/convergence/throttle_ladder.h"

#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <array>

#include "qemu-glue/convergence/auto_converge.h"
#include "qemu-glue/convergence/dirty_limit.h"
#include "qemu-glue/convergence/vcpu_quota.h"

namespace wherry::convergence {
namespace {

// A throttle that is this close to the one that was decided counts as that.
constexpr double kClose = 0.01;

using Taken = Result<std::unique_ptr<Throttle>>;

struct Step {
  const char* name;
  bool in_qemu;  // it sets something in QEMU, which a mark has to record
  Taken (*take)(SourceQemu& qemu, pid_t process);
};

Taken take_dirty_limit(SourceQemu& qemu, pid_t) {
  auto monitor = qemu.monitor_for("set-vcpu-dirty-limit");
  return monitor ? DirtyLimit::take(**monitor) : pass_on(monitor);
}

Taken take_vcpu_quota(SourceQemu& qemu, pid_t process) {
  if (process <= 0) return fail("QEMU's process cannot be seen from here");
  auto threads = qemu.vcpu_threads();
  if (!threads) return pass_on(threads);
  return VcpuQuota::take(process, *threads);
}

Taken take_auto_converge(SourceQemu& qemu, pid_t) {
  auto monitor = qemu.monitor_for("query-migrate-capabilities");
  return monitor ? AutoConverge::take(**monitor) : pass_on(monitor);
}

constexpr std::array kSteps = {Step{DirtyLimit::kName, true, take_dirty_limit},
                               Step{VcpuQuota::kName, false, take_vcpu_quota},
                               Step{AutoConverge::kName, true, take_auto_converge}};

}  // namespace

ThrottleLadder::ThrottleLadder(SourceQemu& qemu, pid_t process, const SwitchoverLimits& before)
    : qemu_(qemu), process_(process) {
  if (process > 0) mark_.emplace(process, to_parameters(before));
}

bool ThrottleLadder::take_next() {
  std::string why_not;
  if (throttle_) why_not = fmt::format("{}: not enough", by_);
  bool taken = false;
  while (!taken && next_ < kSteps.size()) {
    const Step& step = kSteps[next_++];
    if (auto throttle = step.take(qemu_, process_)) {
      throttle_ = std::move(*throttle);
      by_ = step.name;
      if (mark_) mark_->set_throttle(step.in_qemu ? by_ : "");
      spdlog::info("throttle: {}{}", by_, why_not.empty() ? "" : fmt::format(" ({})", why_not));
      taken = true;
    } else {
      why_not += fmt::format("{}{}: {}", why_not.empty() ? "" : "; ", step.name, throttle.error().message);
    }
  }
  reason_ = why_not;
  return taken;
}

bool ThrottleLadder::take_stronger(uint64_t pass) {
  if (by_ != DirtyLimit::kName || !take_next()) return false;
  lags_ = pass;
  return true;
}

Result<> ThrottleLadder::slow(double part, bool stops, const qemu::MigrationFigures& figures) {
  if (!throttle_) return {};
  Result<> slowed;
  if (stops) {
    throttle_->let_stop();
  } else {
    slowed = throttle_->throttle(part);
  }
  if (!slowed) throttle_.reset();
  holds_ = throttle_ ? throttle_->holds(figures) : 0;
  if (!stops && holds_ < part - kClose) lags_ = figures.passes;
  return slowed;
}

void ThrottleLadder::let_stop() {
  if (throttle_) throttle_->let_stop();
}

}  // namespace wherry::convergence
