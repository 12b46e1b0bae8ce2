// The Report of a migration at its source, while it comes about: from the figures of the session, from what
// the channels say of the guest, and from what the convergence controller makes of both. Thread-safe.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "qemu-glue/convergence/convergence.h"
#include "qemu-glue/outcome/outcome.h"
#include "qemu-glue/outcome/report.h"
#include "qemu-glue/uri.h"
#include "transport/source/source_session.h"

namespace wherry {

class SourceReport {
 public:
  // The end of the guest's absence at this host.
  struct LastPage {
    std::chrono::steady_clock::time_point handed_over;  // by QEMU
    std::chrono::steady_clock::time_point placed;       // all that was handed over so far, at the destination
  };
  // What is seen at a moment.
  struct Sample {
    SourceSession::Totals totals;
    uint64_t bandwidth = 0;                     // bytes a second that may be sent; 0: no limit
    std::map<std::string, std::string> opaque;  // channel → why it is not parsed
    std::optional<uint32_t> passes;             // over the guest's memory; nothing: no guest is there
    std::optional<LastPage> last_page;          // nothing: it has not come, or the guest does not wait for it
  };

  // The report's clock runs from now on.
  explicit SourceReport(const Uri& uri);
  // When it began.
  std::chrono::steady_clock::time_point start() const { return start_; }

  // Adds a point to the timeline, if a guest is there. Warns of a lane that was lost.
  void sample(const Sample& sample);
  void note(convergence::State state, const std::optional<LastPage>& last_page);
  // As the destination has chosen it.
  void set_placement(Report::Placement placement);
  void end(const Ended& ended);

  // Whether QEMU has stopped the guest, by its monitor.
  bool guest_stopped() const;
  Report report() const;

 private:
  double now() const;
  void measure(const std::optional<LastPage>& last_page) WHERRY_REQUIRES(mutex_);
  void add_lanes(const SourceSession::Totals& totals) WHERRY_REQUIRES(mutex_);
  void add_point(const SourceSession::Totals& totals) WHERRY_REQUIRES(mutex_);

  const std::chrono::steady_clock::time_point start_;
  mutable Mutex mutex_;
  Report report_ WHERRY_GUARDED_BY(mutex_);
  convergence::State convergence_ WHERRY_GUARDED_BY(mutex_);  // the last that was noted
};

}  // namespace wherry
