#include "qemu-glue/convergence/vcpu_account.h"

#include <algorithm>
#include <utility>

namespace wherry::convergence {

VcpuAccount::Ran VcpuAccount::ran(double now, const Throttle* throttle) {
  if (!time_) {
    const double most = throttled_at_ - taken_ + (1 - part_.value_or(0)) * (now - throttled_at_);
    return {.all = most, .used = most};
  }
  const VcpuTime::Ran ran = time_->ran();
  const double length = now - std::exchange(ran_at_, now);
  const double busy = ran.busiest - std::exchange(busiest_, ran.busiest);
  if (throttle != nullptr && length > 0) used_ += throttle->taken(busy / length) * length;
  return {.all = ran.all, .used = used_};
}

void VcpuAccount::throttled(double now, double part) {
  taken_ += part_.value_or(0) * (now - std::exchange(throttled_at_, now));
  part_ = part;
  most_ = std::max(part, most_.value_or(0));
}

std::optional<double> VcpuAccount::average(double now) const {
  if (!part_) return std::nullopt;
  return (taken_ + *part_ * (now - throttled_at_)) / now;
}

}  // namespace wherry::convergence
