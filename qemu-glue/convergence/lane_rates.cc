#include "qemu-glue/convergence/lane_rates.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace wherry::convergence {
namespace {

// What the lanes say may hold for a moment only. It counts no more than its mean over about this many
// seconds.
constexpr double kSteadyRates = 0.3;
// The rate to be expected is the mean over about this many seconds.
constexpr double kUsually = 1;
// Bytes a second: a page in a window of QEMU's. What lands more slowly are the few bytes that a stream begins
// with.
constexpr double kPages = 4096 / 0.1;

// The mean after `windows` lengths of its window have passed since it was `before`, with `now` all that time.
double mean(double before, double now, double windows) {
  const double kept = std::exp(-windows);
  return kept * before + (1 - kept) * now;
}

}  // namespace

LaneRates::Rates LaneRates::look(double t, const Lanes& lanes) {
  const double ago = looked_ ? t - *looked_ : std::numeric_limits<double>::infinity();
  looked_ = t;
  landing_ = mean(landing_, lanes.landing, ago / kSteadyRates);
  link_ = mean(link_, lanes.link, ago / kSteadyRates);
  usually_ = mean(usually_, lanes.landing, ago / kUsually);
  peak_ = std::max(peak_, lanes.goodput);
  if (peak_ >= kPages && !pages_since_) pages_since_ = t;
  return {.landing = std::min({lanes.landing, landing_, peak_}),
          .usually = std::min(usually_, peak_),
          .link = std::min(lanes.link, link_)};
}

bool LaneRates::are_steady(double t) const {
  return pages_since_ && t - *pages_since_ >= kSteadyRates;
}

}  // namespace wherry::convergence
