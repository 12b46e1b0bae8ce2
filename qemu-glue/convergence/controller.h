// Decides how a migration comes to its end: how much may be left when the guest stops, and how much the guest
// is slowed until then.
//
// With E the rate at which pages that come again land, and F what a switchover takes without pages, the guest
// may stop once no more is left than
//
//     T = kCare · E · (target − F) − what is in flight
//
// What a guest writes next may compress worse than what it wrote before. So in T, E is at most the rate that
// the link drains, until kKnown passes in a row have left no more than T with the E that was measured.
//
// QEMU is told T, and stops the guest at the end of a pass that leaves no more. The end of each pass shows
// whether a later one will: R bytes are dirty then, so the next pass takes (R − T)/E seconds. Each pass has
// to be shorter than the one before, at most kShrink of it, and R − T has to shrink in the same way. If not,
// the guest is slowed, in proportion to the processor time that it used, so that the next pass shrinks to
// kAim. If passes shrink fast, it is given speed back. That needs a measured E, so nothing is throttled
// before the first pass that sends pages again has ended. If the throttle is at its limit and passes still do
// not become shorter, the target is out of reach.
//
// The downtime is predicted from the pages that are left, from what is on its way, and from what a switchover
// usually takes without pages. If QEMU has stopped the guest by itself, no more than T is left. Pages that
// QEMU does not know to be dirty yet are counted by the time that the guest's processors have run, so looks
// are closer together towards the end of a pass. For T, E is a rate that can be counted on. For the
// prediction it is the usual rate, up to kUsualOverLeast times that.
//
// Knows no QEMU and no clock: tests simulate both. Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>

namespace wherry::convergence {

// A downtime in its three parts, which follow each other. In seconds.
struct Downtime {
  double pages = 0;   // from the guest's stop until QEMU has handed over the last page
  double placed = 0;  // from the last page until everything, devices included, is at the destination's QEMU
  double start = 0;   // from everything's arrival until the guest runs at the destination
  double total() const { return pages + placed + start; }
};

struct Observation {
  double t = 0;          // when this was seen, in seconds of any clock
  double ran = 0;        // seconds that all vCPUs together have run, since any moment
  double used = 0;       // seconds of its unthrottled time that the busiest vCPU has used, since any moment
  uint64_t passes = 0;   // how many passes QEMU has begun (dirty-sync-count)
  double remaining = 0;  // bytes that QEMU knows to be dirty
  double bound = 0;      // the most bytes that QEMU can have sent and that are not in place yet
  double landing = 0;    // E, bytes a second that can be counted on; 0: not known yet
  double usually = 0;    // the E that was usual in the last second or so, bytes a second
  double link = 0;       // bytes a second that the link drains
};

// The target is out of reach, by what was seen at a pass's end.
struct OutOfReach {
  double downtime = 0;  // seconds; the shortest downtime that can be had
  double throttle = 0;  // how much the guest is slowed then, as in Decision
  double faster = 0;    // how many times as fast pages would have to land for the target
};

struct Decision {
  double may_remain = 0;  // T, bytes
  double throttle = 0;    // the part of its vCPUs' time that the guest does not get, from 0 to below 1
  std::optional<OutOfReach> out_of_reach;
  double look_in = 0;  // seconds; the longest time until the next step
};

class Controller {
 public:
  struct Limits {
    double downtime = 0.3;  // the target, seconds
    double throttle = 0;    // the most that Decision::throttle may be; 0: the guest is not slowed
    double fixed = 0;       // F, seconds; an upper bound
    Downtime usual{};       // what a switchover usually takes without pages
    double zeros = 0;       // seconds that it takes in addition if the last pages were zero
  };

  explicit Controller(const Limits& limits) : limits_(limits) {}
  const Limits& limits() const { return limits_; }

  Decision step(const Observation& seen);
  // The downtime to expect if the guest is stopped at `t`, shortly after the last step, and if QEMU has
  // stopped it by itself at `t`. `ran` is as in Observation. `on_way`: seconds until what is on its way has
  // landed. Nothing while E is not known.
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
