// What a migration came to: the JSON of `--report`, the progress line and the summary are all views of this.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "compression/batch_encoder.h"
#include "qemu-glue/convergence/controller.h"
#include "qemu-glue/outcome/outcome.h"
#include "transport/fabric/rdma_ports.h"

namespace wherry {

struct Report {
  std::string role;                // source or destination
  std::optional<Outcome> outcome;  // none: it runs
  std::string error;
  std::string uri;
  std::string placement;         // direct-mapped, direct-process, relay; empty before it is known
  std::string placement_reason;  // why it is relay
  double total_s = 0;
  std::optional<double> switchover_ms;
  double target_ms = 0;                            // of that; at the source
  std::optional<convergence::Downtime> predicted;  // what it was expected to be when the guest stopped
  std::optional<convergence::Downtime> measured;   // and what came, but for the start
  std::string throttle_by;              // what slowed the guest, if anything did; empty: nothing could
  std::string throttle_reason;          // why nothing better did
  std::optional<double> throttle_peak;  // percent of its processors' time that the guest was denied
  std::optional<double> throttle_mean;  // over all of the time
  struct Message {
    double t = 0;  // seconds since the beginning
    std::string text;
  };
  std::vector<Message> messages;  // of the convergence controller, to the operator
  uint64_t bandwidth = 0;         // bytes a second that the lanes may send now; 0: no limit
  uint64_t wire_bytes = 0;
  uint64_t guest_bytes = 0;
  uint64_t disk_bytes = 0;  // to the copies of disks
  PageCounts pages;
  std::optional<uint64_t>
      asked_again;             // at the destination: batches that it could not make pages of at first
  uint64_t history_bytes = 0;  // taken for remembering pages, at most
  uint64_t history_budget = 0;
  std::optional<uint32_t> passes;     // none: no connection of QEMU's is there
  std::optional<uint64_t> remaining;  // guest bytes, as QEMU says
  struct Lane {
    std::string peer;
    std::optional<uint64_t> sent;     // bytes, at the source
    std::optional<uint64_t> written;  // bytes that RDMA has put in place itself, at the destination
    std::string no_rdma;              // why it goes over TCP; empty: it goes over RDMA
    std::optional<RdmaPort> port;     // of this host
    bool lost = false;                // its connection failed, and the others took over
  };
  std::vector<Lane> lanes;
  std::map<std::string, std::string> opaque;  // channel → why it was not parsed
  uint64_t in_flight_max = 0;
  uint64_t in_flight_bound = 0;  // the largest that held
  struct Point {
    double t = 0;                      // seconds since the beginning
    double goodput = 0;                // guest bytes a second
    std::optional<double> ratio = {};  // guest bytes for each byte on the wire, so far; none: there were none
    uint64_t in_flight = 0;
    std::string encoding;                     // what is chosen for pages of either kind
    std::optional<double> link_rate = {};     // bytes a second that the network drains, once it was measured
    std::optional<uint64_t> remaining = {};   // bytes, as QEMU says
    std::optional<double> dirty_rate = {};    // bytes a second that the guest writes to, as QEMU says
    std::optional<double> throttle = {};      // percent
    std::optional<double> predicted_ms = {};  // downtime, if the guest stopped now
  };
  std::vector<Point> timeline;

  std::string status() const { return outcome ? name(*outcome) : "running"; }
  // What the lanes go over: tcp, rdma, or mixed; empty: there are none yet.
  std::string transport() const;
  nlohmann::json to_json() const;
};

// The file of --report. It is opened and written once at the start, so that a path that cannot be written is
// noticed before a guest is on its way.
class ReportFile {
 public:
  // An empty path: no report.
  static Result<ReportFile> open(const std::string& path, const Report& report);
  Result<> write(const Report& report);

 private:
  ReportFile() = default;
  std::string path_;
  Fd file_;
};

}  // namespace wherry
