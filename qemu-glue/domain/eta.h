// How long something still takes, for people to read: from estimates that jump about, a time that does not.
//
//   * It counts down with the clock as long as the estimates bear it out.
//   * An earlier end is approached smoothly, by half every kFall seconds.
//   * A later end is not believed at once. Only when every estimate of the last kPatience seconds was later
//   than
//     what was shown does it grow, and then to the least of them. No estimate at all counts as one that is
//     later than any, so what was shown goes when nobody can know.
//
// Times are seconds by any clock that only goes forward. For one thread.
#pragma once

#include <optional>

namespace wherry::domain {

class Eta {
 public:
  static constexpr double kFall = 1.5;
  static constexpr double kPatience = 3;

  // What to show now, given that `estimate` seconds are left. Never below 0.
  std::optional<double> update(double now, std::optional<double> estimate);

 private:
  double last_ = 0;              // when there was an update
  std::optional<double> end_;    // that is shown, by the same clock
  std::optional<double> later_;  // since when the estimates are later
  std::optional<double> least_;  // the earliest of those ends
};

}  // namespace wherry::domain
