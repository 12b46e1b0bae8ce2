// Connects to a socket of the destination's QEMU: where it waits for a migration, or serves a disk. Errors
// are connect_to's. Thread-safe.
#pragma once

#include "transport/socket.h"

namespace wherry::qemu {

inline Result<Fd> dial_qemu(const Endpoint& at) {
  constexpr std::chrono::seconds kConnect{5};
  constexpr std::chrono::seconds kSilence{30};
  return connect_to(at, kConnect, kSilence);
}

}  // namespace wherry::qemu
