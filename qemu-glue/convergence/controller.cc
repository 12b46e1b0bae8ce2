#include "qemu-glue/convergence/controller.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace wherry::convergence {
namespace {

constexpr double kCare = 0.8;  // the last pages may land more slowly than those before
// A pass of the one before, at least. A guest that comes down by itself is let; one that has to be slowed is
// slowed so much that it is soon over, for it loses least then.
constexpr double kShrink = 0.95;
constexpr double kShrinkSlowed = 0.7;
constexpr double kAim = 0.5;        // what the guest is slowed for,
constexpr double kFast = 0.3;       // and below that it is given back
constexpr double kFar = 3;          // while so many times what may remain is too much
constexpr double kGiveBack = 1.25;  // so many times its speed
constexpr double kNoShorter = 0.95;
// Of its speed: a guest that takes less may not be what writes so much.
constexpr double kLeastTaken = 0.25;
// So many passes in a row; and where they take less than a moment, for which a slowed guest may run at full
// speed, so many.
constexpr int kStuck = 2;
constexpr int kStuckShort = 8;
constexpr double kMoment = 0.5;  // seconds
constexpr int kKnown = 3;
constexpr double kZeroPages = 2;  // times as fast as others land, at least
constexpr double kUsualOverLeast = 1.25;
// What a guest writes is that of at least so many seconds.
constexpr double kSteady = 0.3;
// Looks are so many seconds apart, and so many at least are in what is left of a pass.
constexpr double kSeldom = 0.05;
constexpr double kOften = 0.01;
constexpr double kLooks = 4;
constexpr double kUnbounded = std::numeric_limits<double>::infinity();

}  // namespace

Decision Controller::step(const Observation& seen) {
  const double most = may_remain(seen, seen.landing);
  if (seen.passes != began_.passes) {
    enough_ = seen.remaining <= most ? enough_ + 1 : 0;
    pass_ended(seen, most);
    fall_ = seen.landing;
  } else if (seen.t - seen_.t >= kOften / 2) {
    fall_ = std::max(0.0, seen_.remaining - seen.remaining) / (seen.t - seen_.t);
  }
  may_remain_ = enough_ >= kKnown ? most : may_remain(seen, std::min(seen.landing, seen.link));
  seen_ = seen;
  const double left = std::max(0.0, seen.remaining - may_remain_);
  // A pass that does not come on may do so at any time, but no faster than its pages land.
  const double rate = std::max(fall_, seen.landing);
  return {.may_remain = may_remain_,
          .throttle = throttle_,
          .out_of_reach = out_of_reach_,
          .look_in = rate > 0 ? std::clamp(left / rate / kLooks, kOften, kSeldom) : kOften};
}

double Controller::may_remain(const Observation& seen, double rate) const {
  return std::max(0.0, kCare * rate * std::max(0.0, limits_.downtime - limits_.fixed) - seen.bound);
}

// Bytes that QEMU knows to be dirty, which it sends meanwhile.
double Controller::known(double t) const {
  return std::max(0.0, seen_.remaining - fall_ * (t - seen_.t));
}

std::optional<Downtime> Controller::if_stopped(double t, double ran, double on_way) const {
  return downtime(t, ran, on_way, known(t), kUnbounded);
}

std::optional<Downtime> Controller::stopped(double t, double ran, double on_way) const {
  // A look that came behind the stop saw what is left.
  if (t <= seen_.t) return downtime(t, ran, on_way, seen_.remaining, kUnbounded);
  // QEMU looks at what may remain between two parts of a pass, so it has gone on sending until now.
  return downtime(t, ran, on_way, known(t), may_remain_);
}

// What QEMU does not know yet grows as in the last passes. What it knows may go faster than what comes again:
// as fast as it went so far, or as fast as it must have gone since. Pages that are much faster are zero, like
// an idle guest's last ones: nothing is left of them to send, but a relay's QEMU may still load them.
std::optional<Downtime> Controller::downtime(double t, double ran, double on_way, double unsent,
                                             double at_most) const {
  if (seen_.landing <= 0) return std::nullopt;
  t = std::max(t, seen_.t);
  const double written = dirtied_.ran > 0 ? dirtied_.bytes / dirtied_.ran * (ran - began_.ran) : 0;
  const double fresh = std::min(written, at_most);
  const double old = std::min(unsent, at_most - fresh);
  const double gone = (seen_.remaining - old) / std::max(t - seen_.t, kOften);
  const double rate = std::clamp(seen_.usually, seen_.landing, kUsualOverLeast * seen_.landing);
  const double fastest = std::max({rate, fall_, gone});
  const bool zeros = fastest > kZeroPages * seen_.landing;
  const double fast = zeros ? 0 : rate / fastest;
  const double left = (fresh + old * fast) / rate;
  // Until QEMU hands over what is left, what is on its way lands. What it has begun to hand over when the
  // stop is heard is on its way as well.
  const double in_flight = std::min(std::max(left, on_way - limits_.usual.pages), seen_.bound / rate);
  Downtime expected = limits_.usual;
  expected.pages +=
      std::max(0.0, left - in_flight);  // the rest is in flight when the last has been handed over
  expected.placed += std::max(0.0, in_flight) + (zeros ? limits_.zeros : 0);
  return expected;
}

void Controller::pass_ended(const Observation& seen, double may_remain) {
  const Observation began = std::exchange(began_, seen);
  const uint64_t ended = seen.passes - began.passes;
  const double length = (seen.t - began.t) / static_cast<double>(ended);
  const double ran = seen.ran - began.ran;
  const double used = seen.used - began.used;
  const bool measured = began.passes > 1;  // the first sends every page for the first time
  const bool first = began.passes == 0;
  if (first || length <= 0) return;
  const double kept = 1 - std::min(1.0, length / kSteady);
  dirtied_ = {.bytes = kept * dirtied_.bytes + std::max(0.0, seen.remaining - known(seen.t)),
              .ran = kept * dirtied_.ran + ran / static_cast<double>(ended)};
  if (!measured || seen.landing <= 0) return;

  // What lands now may be a moment's rate: the last pass shows more of it.
  const double landing = std::max(seen.landing, (began.remaining - known(seen.t)) / length);
  const double excess = std::max(0.0, seen.remaining - may_remain);
  const double before = began.remaining - may_remain;
  // Near the end QEMU sends more than the excess before it looks again, so that a pass that would be short is
  // none: what was seen to become of the excess counts as well.
  const double shrinks_to = std::max(excess / landing / length, before > 0 ? excess / before : 0);
  const double speed = 1 - throttle_;
  const double taken = std::clamp(used / length / static_cast<double>(ended), kLeastTaken * speed, speed);
  if (shrinks_to > (throttle_ > 0 ? kShrinkSlowed : kShrink))
    throttle_ = std::min(limits_.throttle, 1 - taken * kAim / shrinks_to);
  if (shrinks_to < kFast && excess > kFar * may_remain) throttle_ = std::max(0.0, 1 - speed * kGiveBack);
  const bool at_end = throttle_ >= limits_.throttle;
  if (!at_end || shrinks_to <= kNoShorter) {
    stuck_ = {};
    return out_of_reach_.reset();
  }
  ++stuck_.passes;
  stuck_.seconds += length;
  if (stuck_.passes < kStuck || (stuck_.seconds < kMoment && stuck_.passes < kStuckShort)) return;
  const double pages = seen.remaining / seen.landing;
  out_of_reach_ = OutOfReach{.downtime = pages + limits_.fixed,
                             .throttle = throttle_,
                             .faster = pages / std::max(limits_.downtime - limits_.fixed, 0.001)};
}

}  // namespace wherry::convergence
