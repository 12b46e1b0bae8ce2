#include "qemu-glue/convergence/controller.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace wherry::convergence {
namespace {

constexpr double kCare = 0.8;  // the last pages may land more slowly than those before
// The length of a pass in parts of the one before. A guest that is not slowed has to keep to kShrink. One
// that is slowed has to keep to kShrinkSlowed, because it loses least if it is slowed a lot for a short time.
constexpr double kShrink = 0.95;
constexpr double kShrinkSlowed = 0.7;
constexpr double kAim = 0.5;         // a guest is slowed so that the next pass has this length
constexpr double kFast = 0.3;        // below this length the guest is given speed back
constexpr double kNoShorter = 0.95;  // above this length a pass has not become shorter
constexpr double kFar = 3;           // speed is given back only while R − T is more than this many times T
constexpr double kGiveBack = 1.25;   // the guest then gets this many times its speed
// A part of the guest's speed. If it used less processor time, it counts as having used this: something else
// may be writing its memory.
constexpr double kLeastTaken = 0.25;
// The target is out of reach after this many passes in a row that did not become shorter. If they took less
// than kMoment together, it takes kStuckShort, because a slowed guest can run at full speed for a moment.
constexpr int kStuck = 2;
constexpr int kStuckShort = 8;
constexpr double kMoment = 0.5;           // seconds
constexpr int kKnown = 3;                 // passes
constexpr double kZeroPages = 2;          // pages that go this many times as fast as E are zero pages
constexpr double kUsualOverLeast = 1.25;  // as in the header
// Seconds. The rate at which a guest writes is the mean over about this time, or over a longer pass.
constexpr double kSteady = 0.3;
// The time between two looks in seconds, at most and at least, and how many looks there should be in what is
// left of a pass.
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
  // A pass that is at a standstill can go on at any time, but no faster than its pages land.
  const double rate = std::max(fall_, seen.landing);
  return {.may_remain = may_remain_,
          .throttle = throttle_,
          .out_of_reach = out_of_reach_,
          .look_in = rate > 0 ? std::clamp(left / rate / kLooks, kOften, kSeldom) : kOften};
}

double Controller::may_remain(const Observation& seen, double rate) const {
  return std::max(0.0, kCare * rate * std::max(0.0, limits_.downtime - limits_.fixed) - seen.bound);
}

// The bytes that QEMU knows to be dirty at `t`: it has gone on sending them since the last look.
double Controller::known(double t) const {
  return std::max(0.0, seen_.remaining - fall_ * (t - seen_.t));
}

std::optional<Downtime> Controller::if_stopped(double t, double ran, double on_way) const {
  return downtime(t, ran, on_way, known(t), kUnbounded);
}

std::optional<Downtime> Controller::stopped(double t, double ran, double on_way) const {
  // A look that came after the stop saw what is left.
  if (t <= seen_.t) return downtime(t, ran, on_way, seen_.remaining, kUnbounded);
  // Of what may remain QEMU has sent some before it looked at that: nobody knows how much.
  const double least = seen_.remaining <= may_remain_ ? seen_.remaining / 2 : 0;
  return downtime(t, ran, on_way, std::max(known(t), least), may_remain_);
}

// What QEMU does not know to be dirty yet (`fresh`) grows as in the last passes. What it knows (`old`) can
// land faster than pages that come again usually do: as fast as in this pass so far, or as fast as it must
// have gone since the last look. If that is much faster, they are zero pages, as the last ones of an idle
// guest are. Sending those takes no time, but a relay's QEMU may still have to load them.
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
  // While QEMU hands over what is left, what is on its way lands. What it has begun to hand over when the
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

  // The rate of this moment may be a low one. The last pass shows more of it.
  const double landing = std::max(seen.landing, (began.remaining - known(seen.t)) / length);
  const double excess = std::max(0.0, seen.remaining - may_remain);
  const double before = began.remaining - may_remain;
  // Near the end QEMU sends more than the excess before it looks again, so passes do not become as short as
  // their excess says. How much the excess has shrunk counts as well.
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
