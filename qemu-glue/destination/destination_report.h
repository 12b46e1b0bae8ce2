// The Report of a migration at its destination, while it comes about, and what the source is told of it.
// Thread-safe.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

#include "base/mutex.h"
#include "qemu-glue/memory/guest_ram.h"
#include "qemu-glue/outcome/outcome.h"
#include "qemu-glue/outcome/report.h"
#include "qemu-glue/uri.h"
#include "transport/destination/destination_session.h"

namespace wherry {

class DestinationReport {
 public:
  // The report's clock runs from now on.
  explicit DestinationReport(const Uri& listen);
  // When it began.
  std::chrono::steady_clock::time_point start() const { return start_; }

  // Pages are placed directly, and `way` is how most of them are; or they are relayed, and why. Logs it.
  void place_directly(GuestRam::Way way);
  void relay(const std::string& why);
  void add(const DestinationSession::Totals& totals);
  void end(const Ended& ended);

  // For the source, when its session is complete. `withdrawn`: direct placement had to be given up.
  nlohmann::json account(const Ended& ended, bool withdrawn);
  Report report() const;

 private:
  const std::chrono::steady_clock::time_point start_;
  mutable Mutex mutex_;
  Report report_ WHERRY_GUARDED_BY(mutex_);
};

}  // namespace wherry
