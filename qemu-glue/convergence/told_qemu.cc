#include "qemu-glue/convergence/told_qemu.h"

#include <algorithm>
#include <cmath>

namespace wherry::convergence {
namespace {

// How many seconds QEMU's windows of 0.1 s are remembered.
constexpr double kRates = 1;
// Bytes. If nothing at all may remain, QEMU does not look whether pages were written meanwhile.
constexpr double kLeastRemaining = 4096;
constexpr double kLeastRate = 1000;  // bytes a second
// A limit is told again if it changes by more than this part.
constexpr double kNews = 0.03;
// Milliseconds; the most that QEMU accepts.
constexpr uint64_t kLongest = 2'000'000;
// Milliseconds; QEMU takes 0 for no time at all.
constexpr double kShortest = 1;

bool is_news(const std::optional<uint64_t>& now, const std::optional<uint64_t>& told) {
  if (!now) return false;
  const auto old = static_cast<double>(told.value_or(0));
  return std::abs(static_cast<double>(*now) - old) > kNews * old;
}

}  // namespace

ToldQemu::~ToldQemu() {
  // If this fails because QEMU is gone, there is nothing to restore.
  (void)qemu_.set_limits(before_);
}

Result<> ToldQemu::go_on() {
  told_ = {.downtime_ms = static_cast<uint64_t>(kShortest), .bandwidth = {}};
  return qemu_.set_limits(told_);
}

void ToldQemu::note_rate(double t, double rate) {
  windows_.push_back({.t = t, .rate = rate});
  while (windows_.front().t < t - kRates) windows_.pop_front();
}

Result<> ToldQemu::tell(const Allowance& allowance) {
  if (let_go_) return {};
  SwitchoverLimits limits;
  if (before_.bandwidth) {
    const double time = std::max(kShortest, allowance.time_ms);
    const double may_remain = std::max(allowance.may_remain, kLeastRemaining);
    limits.downtime_ms = static_cast<uint64_t>(time);
    limits.bandwidth = static_cast<uint64_t>(std::max(kLeastRate, may_remain / time * 1000));
  } else {
    double fastest = 0;
    for (const Window& window : windows_) fastest = std::max(fastest, window.rate);
    // Until QEMU has measured its rate, any time may stand for any number of bytes. kLeastRemaining does not
    // count here: at the rates of a migration's first moment it stands for seconds.
    const double time = fastest > 0 ? allowance.may_remain / std::max(fastest, allowance.landing) * 1000 : 0;
    limits.downtime_ms = static_cast<uint64_t>(std::max(kShortest, time));
  }
  if (!is_news(limits.downtime_ms, told_.downtime_ms) && !is_news(limits.bandwidth, told_.bandwidth))
    return {};
  auto set = qemu_.set_limits(limits, kSwitchoverTimeout);
  if (set) told_ = limits;
  return set;
}

Result<> ToldQemu::let_go() {
  let_go_ = true;
  SwitchoverLimits limits{.downtime_ms = kLongest, .bandwidth = {}};
  if (before_.bandwidth) limits.bandwidth = 0;
  return qemu_.set_limits(limits, kSwitchoverTimeout);
}

}  // namespace wherry::convergence
