#include "qemu-glue/convergence/switchover_cost.h"

namespace wherry::convergence {
namespace {

// Seconds that a switchover takes without pages and round trips. Idle guests of QEMU 7.2 to 11.1 under TCG
// are stopped for 4 to 9 ms, mostly for 4 to 5 (bench/downtime --workload idle).
constexpr double kFixed = 0.01;
constexpr Downtime kUsual{.pages = 0.0021, .placed = 0.0005, .start = 0.0009};
constexpr int kRoundTrips = 3;

}  // namespace

SwitchoverCost switchover_cost(const Door& door, std::chrono::microseconds round_trip) {
  const double trip = std::chrono::duration<double>(round_trip).count();
  return {.most = kFixed + door.takes.total() + (kRoundTrips + door.round_trips) * trip,
          .usual = {.pages = kUsual.pages + door.takes.pages,
                    .placed = kUsual.placed + door.takes.placed + trip,
                    .start = kUsual.start + door.takes.start + door.round_trips * trip},
          .zeros = door.zeros};
}

}  // namespace wherry::convergence
