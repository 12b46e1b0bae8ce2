#include "qemu-glue/steering/kept_stopped.h"

#include <chrono>
#include <thread>

#include "qemu-glue/monitor/run_state.h"

namespace wherry {
namespace {

constexpr std::chrono::milliseconds kSoon{20};
constexpr int kLooks = 50;

}  // namespace

std::optional<std::string> kept_stopped(Monitor& qemu) {
  for (int looks = 0; looks < kLooks; ++looks) {
    if (looks > 0) std::this_thread::sleep_for(kSoon);
    // A QEMU that goes on says that for a moment as well.
    if (qemu::ask_run_state(qemu) != qemu::RunState::leaves) return std::nullopt;
  }
  return "the source's QEMU keeps the guest stopped (finish-migrate), for the destination's holds the locks "
         "of its "
         "disks: so the guest is there. Ask that QEMU (query-status), let the guest go on there, and quit "
         "the "
         "source's; if it never ran there, wherry(1) has the way back (EXIT STATUS)";
}

}  // namespace wherry
