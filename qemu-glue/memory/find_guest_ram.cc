#include "qemu-glue/memory/find_guest_ram.h"

#include "qemu-glue/memory/ram_blocks.h"
#include "qemu-glue/monitor/guest_page.h"
#include "qemu-glue/monitor/run_state.h"

namespace wherry {

Result<GuestRam> find_guest_ram(Qmp& qmp) {
  if (qmp.peer_pid() <= 0) return fail("it is not known which process the monitor belongs to");
  auto status = qemu::ask_status(qmp);
  if (!status) return pass_on(status);
  if (qemu::run_state_named(*status) != qemu::RunState::awaited) {
    return fail(
        "the QEMU of process {} does not wait for a migration (it is {}): is --qmp another guest's monitor?",
        qmp.peer_pid(), *status);
  }
  auto places = find_ram_blocks(qmp);
  if (!places) return pass_on(places);
  auto ram = GuestRam::open(qmp.peer_pid(), std::move(*places), qemu::page_size_of_processor(qmp));
  // If it still runs, the process that was opened by its number was this one.
  if (ram && !qmp.peer_runs()) return fail("the QEMU of process {} has ended", qmp.peer_pid());
  return ram;
}

}  // namespace wherry
