// The convergence controller at work: looks at the source's QEMU and at the lanes, and does what the
// Controller decides, to QEMU's limits and to the guest's processors.
//
//   begin() ─▶ look(), again and again, while the guest runs at the source ─▶ its end: all is as it was
//
// QEMU 8.2 and later is told the rate that it may reckon with (avail-switchover-bandwidth); an earlier one
// measures it itself, over 0.1 s, so its downtime-limit is set for the fastest of the last second.
//
// The guest is slowed by the first of these that can be, and where a dirty limit is not enough, by the next:
//
//   dirty-limit     dirty_limit.h
//   vcpu-quota      vcpu_quota.h
//   auto-converge   auto_converge.h
//
// One thread at a time; state() may be called by any.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "qemu-glue/convergence/controller.h"
#include "qemu-glue/convergence/qemu_mark.h"
#include "qemu-glue/convergence/throttle.h"
#include "qemu-glue/convergence/vcpu_time.h"
#include "qemu-glue/monitor/monitor.h"
#include "qemu-glue/uri.h"

namespace wherry::convergence {

// What the lanes are at.
struct Lanes {
  double in_flight = 0;  // bytes,
  double bound = 0;      // and at most
  double landing = 0;    // bytes a second that they can land of pages that come again
  double goodput = 0;    // and that they land now
  double link = 0;       // and what the link drains, bytes a second
  double on_way = 0;     // seconds until what is in flight will have landed
  std::chrono::microseconds round_trip{0};
};

// What the guest's absence takes besides where another than QEMU lets it go on.
struct Door {
  Downtime takes;
  int round_trips = 0;  // between the hosts, until it goes on
};

struct State {
  std::optional<uint64_t> remaining;  // bytes, as QEMU says
  std::optional<double> dirty_rate;   // bytes a second
  std::string throttle_by;            // what slows the guest, if it is to be; empty: nothing can
  std::string throttle_reason;        // why nothing better does
  std::optional<double> throttle;     // percent of its processors' time that the guest does not get
  std::optional<double> throttle_peak;
  std::optional<double> throttle_mean;  // since begin()
  std::optional<Downtime> predicted;  // if the guest stopped now, or when it did; none: nothing is known yet
  std::optional<std::chrono::steady_clock::time_point> stopped;  // the guest, here, by QEMU
  std::vector<std::string> messages;                             // to the operator
};

class Convergence {
 public:
  // Has QEMU go on until a first look; `lanes` is not called before. `process` is QEMU's; 0: it is not known.
  // The URI's downtime, throttle-max and on-miss are what is wished.
  static Result<std::unique_ptr<Convergence>> begin(Monitor& qemu, pid_t process, const Uri& uri,
                                                    std::function<Lanes()> lanes, const Door& door = {});
  // Sets QEMU's parameters back, and gives the guest its processors.
  ~Convergence();

  // With QEMU's answer to query-migrate. Returns after how long to look again, at the latest. An error: the
  // migration is to be given up.
  Result<std::chrono::milliseconds> look(const nlohmann::json& query_migrate);
  State state() const;

 private:
  Convergence(Monitor& qemu, pid_t process, const Uri& uri, std::function<Lanes()> lanes, const Door& door);
  bool next_throttle();
  void stopped(double ago);
  void forget_stop();
  double now() const;
  std::pair<double, double> ran(double now);
  double qemu_rate(const nlohmann::json& ram, double now);
  Result<> tell_qemu(const Decision& decision, double rate, double landing);
  double slow_down(double part, bool stops, const nlohmann::json& query_migrate, double now);
  Result<> miss(const OutOfReach& floor);
  void say(const std::string& message);

  Monitor& qemu_;
  const pid_t process_;
  const Uri wish_;
  std::optional<VcpuTime> vcpu_time_;   // nothing: it cannot be seen from here
  double busiest_ = 0;                  // at the last look, as VcpuTime has it,
  double ran_at_ = 0;                   // when,
  double used_ = 0;                     // and how much the throttle takes for used until then
  std::optional<QemuMark> mark_;        // outlives the throttle; nothing: QEMU's process is not known
  std::unique_ptr<Throttle> throttle_;  // null: the guest cannot be slowed
  size_t next_throttle_ = 0;
  const std::function<Lanes()> lanes_;
  const Door door_;
  nlohmann::json before_ = nlohmann::json::object();  // parameters
  bool takes_rate_ = false;                           // avail-switchover-bandwidth
  double fixed_ = 0;
  std::optional<Controller> controller_;  // from the first look on
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::deque<std::pair<double, double>> rates_;  // when, and bytes a second, of QEMU's last windows
  double peak_ = 0;                              // goodput,
  std::optional<double> pages_since_;            // and when pages landed first
  double landing_ = 0;                           // bytes a second, lately,
  double usually_ = 0;                           // and for longer,
  double link_ = 0;                              // and of the link,
  double looked_ = 0;                            // until then
  double remaining_ = 0;                         // bytes, at the last look
  double seen_ = 0;                              // when it last looked,
  double throttled_ = 0;                         // and for how many seconds of full throttle until then
  nlohmann::json told_;
  uint64_t lags_ = 0;                    // the last pass in which the throttle was less than decided
  bool stopped_ = false;                 // the guest,
  std::optional<uint64_t> passes_then_;  // by the first look behind that
  bool missed_ = false;
  bool let_go_ = false;  // the guest may be away as long as it takes
  mutable std::mutex mutex_;
  State state_;
};

}  // namespace wherry::convergence
