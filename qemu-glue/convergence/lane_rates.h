// The rates at which the lanes land pages, made steady. What lanes say of themselves comes from a model and
// may hold for a moment only, so it counts no more than was seen.
//
// Knows no clock: times are seconds of any clock. Not thread-safe.
#pragma once

#include <chrono>
#include <optional>

namespace wherry::convergence {

// What the lanes are doing now.
struct Lanes {
  double in_flight = 0;                     // bytes that have been sent and are not in place yet
  double bound = 0;                         // the most bytes that may be in flight
  double landing = 0;                       // bytes a second of pages sent again that the lanes can land
  double goodput = 0;                       // bytes a second that land now
  double link = 0;                          // bytes a second that the link drains
  double on_way = 0;                        // seconds until what is in flight will have landed
  std::chrono::microseconds round_trip{0};  // between the hosts
};

class LaneRates {
 public:
  struct Rates {
    double landing = 0;  // bytes a second of pages sent again that can be counted on; 0: not known yet
    double usually = 0;  // bytes a second of pages sent again that usually land, the mean of 1 s
    double link = 0;     // bytes a second that the link can be counted on to drain
  };
  // The rates after one more look at the lanes.
  Rates look(double t, const Lanes& lanes);

  // Pages have landed, not only the few bytes that a stream begins with.
  bool pages_land() const { return pages_since_.has_value(); }
  // They have landed for long enough to tell a rate from them.
  bool are_steady(double t) const;

 private:
  std::optional<double> looked_;       // when the lanes were last looked at, seconds
  double landing_ = 0;                 // bytes a second that the lanes can land, the mean of 0.3 s
  double usually_ = 0;                 // the same, the mean of 1 s
  double link_ = 0;                    // bytes a second that the link drains, the mean of 0.3 s
  double peak_ = 0;                    // the most bytes a second that ever landed
  std::optional<double> pages_since_;  // when pages landed first, seconds
};

}  // namespace wherry::convergence
