#include "qemu-glue/memory/find_guest_ram.h"

#include "qemu-glue/memory/ram_blocks.h"
#include "qemu-glue/monitor/guest_page.h"
#include "qemu-glue/monitor/run_state.h"

namespace wherry {

Result<GuestRam> find_guest_ram(Qmp& qmp) {
  auto answer = qmp.execute("query-status");
  if (!answer) return pass_on(answer);
  if (const std::string status = answer->value("status", "");
      qemu::run_state_named(status) != qemu::RunState::awaited) {
    return fail(
        "the QEMU of process {} does not wait for a migration (it is {}): is --qmp another guest's monitor?",
        qmp.peer_pid(), status);
  }
  auto places = find_ram_blocks(qmp);
  if (!places) return pass_on(places);
  return GuestRam::open(qmp.peer_pid(), std::move(*places), qemu::page_size_of_processor(qmp));
}

}  // namespace wherry
