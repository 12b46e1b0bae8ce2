#include "transport/flow/link_rate.h"

#include <algorithm>

namespace wherry {
namespace {

constexpr double kWindow = 0.01;        // seconds
constexpr double kFirstWindow = 0.003;  // seconds, before anything was measured
constexpr double kBusy = 0.25;    // part of a window in which bytes must wait for it to be a measurement
constexpr double kNewRate = 0.4;  // weight of a measurement
constexpr double kDoubtfulRate = 0.02;   // weight of one that may have measured the processors instead
constexpr double kUnknownGrowth = 1.25;  // for each window in which the network kept up, before it is known
constexpr double kKnownGrowth = 1.03;    // the same once it is known
constexpr uint32_t kEnough = 5;    // measurements: the first are of a TCP that is still opening its window
constexpr double kFastest = 1e11;  // bytes a second
constexpr double kSlowest = 1e3;

}  // namespace

void LinkRate::expect(double rate) {
  rate_ = std::clamp(rate, kSlowest, kFastest);
}

double LinkRate::part(size_t lane) const {
  double all = 0;
  for (const Lane& each : lanes_) all += each.recent;
  return all > 0 ? lanes_[lane].recent / all : 1.0 / static_cast<double>(lanes_.size());
}

void LinkRate::note(size_t lane, uint64_t given, uint64_t waiting, Clock::time_point now, bool doubtful) {
  Lane& told = lanes_[lane];
  const uint64_t sent = given - std::min(given, waiting);
  const uint64_t more = sent - std::min(sent, told.sent);
  told.sent = sent;
  told.waiting = waiting;
  told.recent += static_cast<double>(more);
  const bool any =
      std::any_of(lanes_.begin(), lanes_.end(), [](const Lane& each) { return each.waiting > 0; });
  if (seen_ != Clock::time_point{} && now > seen_) {
    measure(std::chrono::duration<double>(now - seen_).count(), more, seen_waiting_ && any, doubtful);
  }
  seen_ = std::max(seen_, now);
  seen_waiting_ = any;
}

void LinkRate::measure(double seconds, uint64_t sent, bool busy, bool doubtful) {
  window_ += seconds;
  sent_ += sent;
  if (busy) {
    busy_ += seconds;
    busy_sent_ += sent;
  }
  if (window_ < (measured_ == 0 ? kFirstWindow : kWindow)) return;
  if (busy_ > kBusy * window_) {
    const double rate = static_cast<double>(busy_sent_) / busy_;
    rate_ += (doubtful && rate < rate_ ? kDoubtfulRate : kNewRate) * (rate - rate_);
    ++measured_;
  } else {
    rate_ = std::max(rate_ * (measured_ < kEnough ? kUnknownGrowth : kKnownGrowth),
                     static_cast<double>(sent_) / window_);
  }
  rate_ = std::clamp(rate_, kSlowest, kFastest);
  for (Lane& lane : lanes_) lane.recent *= 0.9;
  window_ = busy_ = 0;
  sent_ = busy_sent_ = 0;
}

}  // namespace wherry
