// What the Receiver wants to know of the destination's QEMU, asked of a monitor: where guest memory is, and
// whether the guest has arrived. Each question is a connection of its own, for QEMU serves one at a time.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>

#include "base/result.h"
#include "qemu-glue/memory/guest_ram.h"

namespace wherry {

class DestinationMonitor {
 public:
  // `path`: of the monitor; empty: of one that QEMU has besides libvirt's, if there is one.
  explicit DestinationMonitor(std::string path) : path_(std::move(path)) {}

  // `qemu`: the process that takes the guest; -1: it is not known.
  Result<GuestRam> find_memory(pid_t qemu) const;
  // To be asked when QEMU has closed the migration. Nothing: it does not say, does not know yet, or has died
  // and may have had the guest before.
  std::optional<bool> has_arrived(pid_t qemu) const;

 private:
  const std::string path_;
};

}  // namespace wherry
