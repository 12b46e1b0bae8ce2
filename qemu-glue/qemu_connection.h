// A connection to the destination's QEMU, where it waits for a migration or serves a disk: how it begins, and
// how its end is told to the source. Thread-safe.
#pragma once

#include "transport/destination_session.h"
#include "transport/socket.h"

namespace wherry::qemu {

// Errors are connect_to's.
inline Result<Fd> dial_qemu(const Endpoint& at) {
  constexpr std::chrono::seconds kConnect{5};
  constexpr std::chrono::seconds kSilence{30};
  return connect_to(at, kConnect, kSilence);
}

// Tells the source that QEMU's stream has ended, and waits until QEMU takes nothing any more either, to tell
// it that. If the session is over there is nobody to tell.
inline void tell_end(DestinationSession& session, uint16_t channel, int connection) {
  if (!takes_nothing(connection)) {
    (void)session.close_back(channel, false);
    await_takes_nothing(connection);
  }
  (void)session.close_back(channel, true);
}

}  // namespace wherry::qemu
