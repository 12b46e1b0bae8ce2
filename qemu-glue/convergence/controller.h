// Decides how a migration comes to its end: how much may be left when the guest stops, and how much the guest
// is slowed until then.
//
// With E the rate at which pages that come again land, and F what a switchover takes without pages, the guest
// may stop once no more is left than
//
//     T = kCare · E · (target − F) − what is in flight
//
// What a guest writes next may compress worse than what it wrote before. So E is taken for no more than what
// the link drains, until kKnown passes in a row would have been enough with E as it is.
//
// QEMU is told T, and stops the guest at a pass's end that leaves no more. Whether one will shows at each
// end: R bytes are dirty behind a pass of t seconds, so the next takes (R − T)/E. Passes have to become
// shorter, to kShrink of the one before at least, and so has R − T. Where they do not, the guest is slowed in
// proportion to what it took of its processors, so much that they shrink to kAim, and where they shrink fast
// it is given speed back. E has to be measured for that: so nothing is throttled before a pass that sent
// pages again. Where throttling is at its end and passes stay as they are, the target is out of reach.
//
// The downtime is predicted from what is left, where QEMU has stopped at no more than T, or what is on its
// way, and from what a switchover takes as a rule. What QEMU does not know yet grows with the time that the
// guest's processors run. For that it has to be looked more often towards a pass's end. E is the least that
// can be counted on there; to predict, it is what is usual, up to kUsualOverLeast times that.
//
// Knows no QEMU and no clock: tests simulate both. Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>

namespace wherry::convergence {

// A downtime and its parts, seconds: from the guest's stop
struct Downtime {
  double pages = 0;   // until QEMU has handed over the last page,
  double placed = 0;  // then until all, devices included, is at the destination's QEMU,
  double start = 0;   // then until the guest runs there
  double total() const { return pages + placed + start; }
};

struct Observation {
  double t = 0;          // seconds, of any clock
  double ran = 0;        // seconds that the guest's processors have run, all together, since any moment,
  double used = 0;       // and that the busiest has used of what it has if nothing is throttled
  uint64_t passes = 0;   // that QEMU has begun (dirty-sync-count)
  double remaining = 0;  // bytes that QEMU knows to be dirty
  double bound = 0;      // bytes that it has sent and that are not in place yet, at most
  double landing = 0;    // E, bytes a second, that can be counted on; 0: not known yet
  double usually = 0;    // and that is usual of late
  double link = 0;       // bytes a second that the link drains
};

// The target is out of reach, by what was seen at a pass's end.
struct OutOfReach {
  double downtime = 0;  // seconds that it would take
  double throttle = 0;  // with the guest slowed like that
  double faster = 0;    // how many times as fast pages would have to land
};

struct Decision {
  double may_remain = 0;  // T, bytes
  double throttle = 0;    // 0: none, to below 1: how much of the processors' time the guest does not get
  std::optional<OutOfReach> out_of_reach;
  double look_in = 0;  // seconds until it should be looked again, at the latest
};

class Controller {
 public:
  struct Limits {
    double downtime = 0.3;  // target, seconds
    double throttle = 0;    // never more
    double fixed = 0;       // F, seconds, at most
    Downtime usual{};       // and as a rule
    double zeros = 0;       // seconds, added to that if the last pages were zero
  };

  explicit Controller(const Limits& limits) : limits_(limits) {}
  const Limits& limits() const { return limits_; }

  Decision step(const Observation& seen);
  // What is to be expected if the guest is stopped at that time, shortly after the last step, and where QEMU
  // has stopped it by itself; `ran` is as in a step, `on_way` how long what is on its way takes to
  // land, seconds.
  // Nothing before E is known.
  std::optional<Downtime> if_stopped(double t, double ran, double on_way) const;
  std::optional<Downtime> stopped(double t, double ran, double on_way) const;

 private:
  double may_remain(const Observation& seen, double rate) const;
  double known(double t) const;
  std::optional<Downtime> downtime(double t, double ran, double on_way, double unsent, double at_most) const;
  void pass_ended(const Observation& seen, double may_remain);

  // What the guest wrote in the last passes.
  struct Dirtied {
    double bytes = 0;
    double ran = 0;  // seconds that the guest's processors ran meanwhile, all together
  };
  // Passes in a row that throttling did not shorten.
  struct Stuck {
    int passes = 0;
    double seconds = 0;  // that they took
  };

  const Limits limits_;
  Observation began_;      // what was seen when this pass began; `remaining` is R
  Observation seen_;       // what was seen last
  double fall_ = 0;        // bytes a second by which what remains gets less, in this pass
  double may_remain_ = 0;  // T, bytes
  Dirtied dirtied_;
  int enough_ = 0;       // passes in a row that would have been enough with E as it is
  double throttle_ = 0;  // as in the last Decision
  Stuck stuck_;
  std::optional<OutOfReach> out_of_reach_;
};

}  // namespace wherry::convergence
