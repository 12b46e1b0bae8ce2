#include "qemu-glue/steering/destination_monitor.h"

#include <chrono>
#include <memory>

#include "base/printable.h"
#include "qemu-glue/memory/find_guest_ram.h"
#include "qemu-glue/monitor/incoming.h"
#include "qemu-glue/monitor/migration_status.h"
#include "qemu-glue/monitor/own_monitor.h"
#include "qemu-glue/monitor/qmp.h"

namespace wherry {
namespace {

// Nobody asked for QEMU's own monitor, and it may be somebody else's: the migration does not wait for it.
constexpr std::chrono::milliseconds kOwnMonitor{1000};
// A QEMU that waits for more of its stream for ever answers nobody.
constexpr std::chrono::milliseconds kArrival{3000};

Result<std::unique_ptr<Qmp>> connect_monitor(const std::string& path, pid_t qemu,
                                             std::chrono::milliseconds timeout) {
  if (!path.empty()) return Qmp::connect(path, timeout);
  auto own = own_monitor(qemu);
  if (!own) return fail("no --qmp was given to learn where guest memory is, and {}", own.error().message);
  return Qmp::connect(*own, kOwnMonitor);
}

}  // namespace

Result<GuestRam> DestinationMonitor::find_memory(pid_t process) const {
  if (process <= 0 && qemu_.is_unix())
    return fail("it is not known which process waits at {}", printable(qemu_.path));
  auto qmp = connect_monitor(path_, process, kMonitorTimeout);
  if (!qmp) return pass_on(qmp);
  if (process <= 0) {
    if (auto waits = qemu::check_waits_at(**qmp, qemu_); !waits) return pass_on(waits);
  }
  return find_guest_ram(**qmp);
}

std::optional<bool> DestinationMonitor::has_arrived(pid_t process) const {
  auto qmp = connect_monitor(path_, process, kArrival);
  // Another guest's says nothing of this one.
  if (qmp && process > 0 && (*qmp)->peer_pid() != process) return std::nullopt;
  auto answer = qmp ? (*qmp)->execute("query-migrate", {}, kArrival) : pass_on(qmp);
  if (!answer) return std::nullopt;
  switch (qemu::phase_of(*answer)) {
    case qemu::MigrationPhase::completed:
      return true;
    case qemu::MigrationPhase::none:
    case qemu::MigrationPhase::begins:
    case qemu::MigrationPhase::gives_up:
    case qemu::MigrationPhase::failed:
    case qemu::MigrationPhase::cancelled:
      return false;
    case qemu::MigrationPhase::active:
    case qemu::MigrationPhase::held:
    case qemu::MigrationPhase::switches:
    case qemu::MigrationPhase::shared:
    case qemu::MigrationPhase::cut:
      break;
  }
  return std::nullopt;
}

}  // namespace wherry
