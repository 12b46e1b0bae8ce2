// The source's QEMU from `migrate` until it has given the guest up, or keeps it, for whoever has both
// monitors: passes cancellations on to it, lets it go on where it waits to be told, has the guest run at the
// destination as postcopy begins, and judges how its migration ended.
//
// wait() is called once. `cancelled` and `sent` are those of the migration, and may be set by any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "qemu-glue/monitor/migration_status.h"
#include "qemu-glue/monitor/monitor.h"
#include "qemu-glue/steering/guest_handover.h"
#include "qemu-glue/steering/source_steering.h"

namespace wherry {

class MigratingSource {
 public:
  // The migration around it.
  struct Around {
    const std::atomic<bool>& cancelled;  // QEMU is to give up
    const std::atomic<bool>& sent;       // the Sender has ended
    // Has the migration cancelled, unless it is too late for that.
    std::function<void(const std::string& why)> cancel;
    // For how long QEMU may be on the way to its end once it gives up, or the Sender has ended.
    std::chrono::milliseconds patience;
  };

  MigratingSource(Monitor& qemu, SourceSteering& steering, GuestHandover& handover, Around around);

  // An Error: the guest stays here; or has gone by postcopy, and the destination may lack some of it. The
  // handover has which.
  Result<> wait();
  // After that: whether it failed because somebody else has cancelled it.
  bool cancelled_by_others() const { return cancelled_by_others_; }

 private:
  void pass_on_cancel();
  void answer(const nlohmann::json& info);
  void look(const nlohmann::json& info);
  std::optional<Result<>> end(const nlohmann::json& info);
  Result<> failed(const nlohmann::json& info);

  Monitor& qemu_;
  SourceSteering& steering_;
  GuestHandover& handover_;
  const Around around_;
  bool told_ = false;  // QEMU was told that the migration is cancelled
  Result<> postcopy_;  // an Error: the guest could not go on at the destination
  std::optional<std::chrono::steady_clock::time_point>
      stuck_at_;  // it is not waited for any longer than this
  bool cancelled_by_others_ = false;
};

}  // namespace wherry
