// The convergence controller at work: looks at the source's QEMU and at the lanes, and does what Controller
// decides, to QEMU's limits and to the guest's vCPUs.
//
//   begin() ─▶ look(), again and again, while the guest runs at the source ─▶ destructor: undoes what was set
//
//   LaneRates, VcpuAccount ─▶ Controller ─▶ ToldQemu (how much may remain), ThrottleLadder (how slow)
//
// For one thread at a time. Any thread can call state().
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "qemu-glue/convergence/controller.h"
#include "qemu-glue/convergence/lane_rates.h"
#include "qemu-glue/convergence/source_qemu.h"
#include "qemu-glue/convergence/switchover_cost.h"
#include "qemu-glue/convergence/throttle.h"
#include "qemu-glue/convergence/throttle_ladder.h"
#include "qemu-glue/convergence/told_qemu.h"
#include "qemu-glue/convergence/vcpu_account.h"
#include "qemu-glue/uri.h"

namespace wherry::convergence {

struct State {
  std::optional<uint64_t> remaining;  // bytes that are still to be sent, as QEMU says
  std::optional<double> dirty_rate;   // bytes a second that the guest writes to, as QEMU says
  Throttling throttle;                // since begin()
  // The downtime if the guest stopped now, or since it has stopped. Nothing: too little is known yet.
  std::optional<Downtime> predicted;
  // When QEMU stopped the guest here.
  std::optional<std::chrono::steady_clock::time_point> stopped;
  std::vector<std::string> messages;  // to the operator
};

class Convergence {
 public:
  // Tells QEMU to go on until the first look. `lanes` is not called before that. `process` is QEMU's; 0: it
  // is not known. The URI has the wanted downtime, throttle-max and on-miss.
  static Result<std::unique_ptr<Convergence>> begin(SourceQemu& qemu, pid_t process, const Uri& uri,
                                                    std::function<Lanes()> lanes, const Door& door = {});
  // Restores QEMU's limits and ends the throttle.
  ~Convergence();

  // `figures` are QEMU's of now. Returns the longest time until the next look. An error means that the
  // migration has to be given up.
  Result<std::chrono::milliseconds> look(const qemu::MigrationFigures& figures);
  State state() const;

 private:
  // The guest is stopped here.
  struct Stop {
    std::optional<uint64_t> passes;  // begun at the first look after the stop, if there was one
  };

  Convergence(SourceQemu& qemu, pid_t process, const Uri& uri, std::function<Lanes()> lanes, const Door& door,
              const SwitchoverLimits& before);
  bool is_stopped(uint64_t passes);
  void stopped(double ago);
  double now() const;
  Controller::Limits controller_limits(std::chrono::microseconds round_trip) const;
  void slow_down(double part, bool stops, const qemu::MigrationFigures& figures, double t);
  Result<> out_of_reach(const OutOfReach& floor, uint64_t passes);
  Result<> miss(const OutOfReach& floor);
  void show(const qemu::MigrationFigures& figures, const std::optional<Downtime>& predicted);
  void show_throttle();
  void say(const std::string& message);

  SourceQemu& qemu_;
  const Uri wish_;
  const std::function<Lanes()> lanes_;
  const Door door_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  ThrottleLadder throttles_;
  ToldQemu told_;
  LaneRates rates_;
  VcpuAccount vcpus_;
  std::optional<Controller> controller_;  // from the first look on
  double remaining_ = 0;                  // bytes, at the last look
  std::optional<Stop> stop_;              // nothing: the guest runs here
  bool missed_ = false;                   // the target was out of reach, and on-miss was applied
  mutable Mutex mutex_;
  State state_ WHERRY_GUARDED_BY(mutex_);
};

}  // namespace wherry::convergence
