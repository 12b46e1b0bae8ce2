#include "qemu-glue/memory/find_guest_ram.h"

#include "qemu-glue/memory/ram_blocks.h"

namespace wherry {

Result<GuestRam> find_guest_ram(Qmp& qmp) {
  auto places = find_ram_blocks(qmp);
  if (!places) return pass_on(places);
  return GuestRam::open(qmp.peer_pid(), std::move(*places));
}

}  // namespace wherry
