// A connection to the destination's QEMU, where it waits for a migration or serves a disk: how it begins, and
// how it ends. Thread-safe.
#pragma once

#include <functional>

#include "transport/socket/connect.h"
#include "transport/socket/endpoint.h"
#include "transport/socket/socket.h"

namespace wherry::qemu {

// Errors are connect_to's.
inline Result<Fd> dial_qemu(const Endpoint& at) {
  constexpr std::chrono::seconds kConnect{5};
  constexpr std::chrono::seconds kSilence{30};
  return connect_to(at, kConnect, kSilence);
}

// QEMU's stream has ended. Tells that its direction has ended, if QEMU still reads; and when QEMU does not
// read any more, that both have.
inline void tell_end(int connection, const std::function<void(bool both_ways)>& tell) {
  if (!takes_nothing(connection)) {
    tell(false);
    await_takes_nothing(connection);
  }
  tell(true);
}

}  // namespace wherry::qemu
