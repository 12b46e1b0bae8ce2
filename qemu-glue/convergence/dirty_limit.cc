#include "qemu-glue/convergence/dirty_limit.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "qemu-glue/monitor/json_member.h"

namespace wherry::convergence {
namespace {

using nlohmann::json;

constexpr uint64_t kNone = 1'000'000'000;  // MB/s

Result<json> set_limit(Monitor& qemu, uint64_t limit) {
  return qemu.execute("set-vcpu-dirty-limit", {{"dirty-rate", limit}}, kSwitchoverTimeout);
}

}  // namespace

Result<std::unique_ptr<Throttle>> DirtyLimit::take(Monitor& qemu) {
  auto set = set_limit(qemu, kNone);
  if (!set) return pass_on(set);
  return std::unique_ptr<Throttle>(new DirtyLimit(qemu));
}

DirtyLimit::~DirtyLimit() {
  // If QEMU is gone, there is nothing to end.
  (void)qemu_.execute("cancel-vcpu-dirty-limit");
}

Result<> DirtyLimit::throttle(double part) {
  part = std::clamp(part, 0.0, kMost);
  if (part == part_) return {};
  if (part_ == 0) {
    auto vcpus = qemu_.execute("query-vcpu-dirty-limit", {}, kSwitchoverTimeout);
    if (!vcpus) return pass_on(vcpus);
    rates_.clear();
    for (const json& vcpu : *vcpus) rates_.push_back(qemu::number_member(vcpu, "current-rate"));
    std::sort(rates_.begin(), rates_.end());
  }
  const double all = std::accumulate(rates_.begin(), rates_.end(), 0.0);
  auto set = set_limit(qemu_, part > 0 ? limit_for(rates_, all * (1 - part)) : kNone);
  if (!set) return pass_on(set);
  part_ = part;
  return {};
}

uint64_t limit_for(const std::vector<double>& rates, double sum) {
  for (size_t i = 0; i < rates.size(); ++i) {
    const double share = sum / static_cast<double>(rates.size() - i);  // of those that write at least as much
    if (rates[i] >= share) return static_cast<uint64_t>(std::max(1.0, std::round(share)));
    sum -= rates[i];
  }
  return 1;
}

}  // namespace wherry::convergence
