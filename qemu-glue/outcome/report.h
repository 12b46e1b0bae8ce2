// The figures of a migration. The JSON of `--report`, the progress line and the summary are made from this.
// docs/man/wherry.1 describes the JSON.
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
#include "qemu-glue/convergence/throttle.h"
#include "qemu-glue/outcome/outcome.h"
#include "transport/fabric/rdma_ports.h"

namespace wherry {

struct Report {
  // How the destination places pages.
  struct Placement {
    std::string how;     // direct-mapped, direct-process, relay; empty before it is known
    std::string reason;  // why it is relay; else empty
  };
  // How long the guest is stopped.
  struct Downtime {
    double target_ms = 0;                            // that the user wants, in ms; at the source only
    std::optional<double> switchover_ms;             // that the monitors report, in ms
    std::optional<convergence::Downtime> predicted;  // as predicted when the guest stopped
    std::optional<convergence::Downtime> measured;   // as measured, without the guest's start
  };
  // What the lanes carry.
  struct Traffic {
    uint64_t wire_bytes = 0;   // bytes that this end sent
    uint64_t guest_bytes = 0;  // bytes of guest pages that were sent, zero pages included, before encoding
    uint64_t disk_bytes = 0;   // bytes written to the copies of disks
    PageCounts pages;          // guest pages that were sent
    std::optional<uint64_t> asked_again;  // at the destination: batches that it asked to be sent again
    uint64_t bandwidth = 0;        // current limit of all lanes together, in bytes per second; 0: no limit
    uint64_t in_flight_max = 0;    // most bytes that were in flight
    uint64_t in_flight_bound = 0;  // largest bound of bytes in flight
  };
  // Memory that is used to remember pages.
  struct History {
    uint64_t bytes = 0;
    uint64_t budget = 0;  // bytes that it may become at most
  };
  struct Lane {
    std::string peer;
    std::optional<uint64_t> sent;     // bytes sent; at the source only
    std::optional<uint64_t> written;  // bytes that RDMA wrote directly; at the destination only
    std::string no_rdma;              // why the lane uses TCP; empty if it uses RDMA
    std::optional<RdmaPort> port;     // the RDMA port on this host
    bool lost = false;                // the connection failed, and other lanes took over
  };
  struct Message {
    double t = 0;  // seconds since the start of the migration
    std::string text;
  };
  struct Point {
    double t = 0;                      // seconds since the start of the migration
    double goodput = 0;                // guest bytes per second
    std::optional<double> ratio = {};  // guest bytes per byte on the wire, so far; nothing before the first
    // Bytes sent and not yet acknowledged.
    uint64_t in_flight = 0;
    std::string encoding;                     // the encodings chosen for first and re-sent pages
    std::optional<double> link_rate = {};     // measured rate of the network, in bytes per second
    std::optional<uint64_t> remaining = {};   // bytes left to send, from query-migrate
    std::optional<double> dirty_rate = {};    // bytes per second, from query-migrate
    std::optional<double> throttle = {};      // percent of the vCPUs' time
    std::optional<double> predicted_ms = {};  // downtime if the guest stopped now
  };

  std::string role;  // source or destination
  std::string uri;
  std::optional<Ended> ended;  // nothing while the migration runs
  double total_s = 0;
  std::optional<uint32_t> passes;     // nothing while QEMU has not connected
  std::optional<uint64_t> remaining;  // guest bytes left to send, from query-migrate
  Placement placement;
  Downtime downtime;
  convergence::Throttling throttle;
  Traffic traffic;
  History history;
  std::vector<Lane> lanes;
  std::map<std::string, std::string> opaque;  // channel → why it was not parsed
  std::vector<Message> messages;              // from the convergence controller to the operator
  std::vector<Point> timeline;

  std::string status() const { return ended ? name(ended->outcome) : "running"; }
  std::string error() const { return ended ? ended->detail : ""; }
  // tcp, rdma or mixed; empty while there are no lanes.
  std::string transport() const;
  nlohmann::json to_json() const;
};

// The file of --report. It is opened and written once at the start, so that an unwritable path fails before
// the migration begins.
class ReportFile {
 public:
  // With an empty path, no report is written.
  static Result<ReportFile> open(const std::string& path, const Report& report);
  Result<> write(const Report& report);

 private:
  ReportFile() = default;
  std::string path_;
  Fd file_;
};

}  // namespace wherry
