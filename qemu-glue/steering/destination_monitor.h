// What the Receiver wants to know of the destination's QEMU, asked of a monitor: where guest memory is, and
// whether the guest has arrived. Each question is a connection of its own, for QEMU serves one at a time.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>

#include "base/result.h"
#include "qemu-glue/memory/guest_ram.h"
#include "transport/socket/endpoint.h"

namespace wherry {

class DestinationMonitor {
 public:
  // `path`: of the monitor; empty: of one that QEMU has besides libvirt's, if there is one. `qemu`: where
  // that QEMU waits.
  DestinationMonitor(std::string path, Endpoint qemu) : path_(std::move(path)), qemu_(std::move(qemu)) {}

  // `process`: that which takes the guest; -1: it is not told, as over TCP, and the monitor must say that its
  // QEMU waits there. Whether the memory is of that process is for the caller to see.
  Result<GuestRam> find_memory(pid_t process) const;
  // To be asked when QEMU has closed the migration. Nothing: it does not say, does not know yet, or has died
  // and may have had the guest before.
  std::optional<bool> has_arrived(pid_t process) const;

 private:
  const std::string path_;
  const Endpoint qemu_;
};

}  // namespace wherry
