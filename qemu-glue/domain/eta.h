// Smooths jumping estimates of the remaining time for people to read.
//
//   * The time shown counts down with the clock while the estimates agree with it.
//   * It moves towards an earlier end smoothly: half of the way every kFall seconds.
//   * It moves to a later end only if all estimates of the last kPatience seconds were later than the one
//     shown, and then to the earliest of them. A missing estimate counts as later than any, so nothing is
//     shown after kPatience seconds without an estimate.
//
// Times are in seconds of any monotonic clock. Not thread-safe.
#pragma once

#include <optional>

namespace wherry::domain {

class Eta {
 public:
  static constexpr double kFall = 1.5;
  static constexpr double kPatience = 3;

  // The seconds to show at the time `now`, if `estimate` seconds are left. Never below 0.
  std::optional<double> update(double now, std::optional<double> estimate);

 private:
  double last_ = 0;              // time of the last update
  std::optional<double> end_;    // time of the end that is shown
  std::optional<double> later_;  // time since which all estimates are later than end_
  std::optional<double> least_;  // the earliest end that was estimated since later_
};

}  // namespace wherry::domain
