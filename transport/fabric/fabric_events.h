// A fabric's event queue: what its connection manager says about calls, connections and their ends.
//
// Thread-safe as libfabric's queue is.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "transport/fabric/fabric.h"

namespace wherry::fabric {

struct CmEvent {
  uint32_t kind = 0;          // FI_CONNREQ, FI_CONNECTED, FI_SHUTDOWN
  Info caller;                // of FI_CONNREQ: what an endpoint for the call is made from
  std::vector<uint8_t> data;  // what the peer sent with it. Providers may hand over more bytes than that
};

Result<Owned<fid_eq>> open_events(fid_fabric* fabric);

// How long one wait on a fabric's queues takes at most. It is short, because between two waits the caller
// looks whether it should give up.
inline constexpr std::chrono::milliseconds kEventLook{100};

// The next event; nothing if none came in time. Errors are those of the peer or the device.
Result<std::optional<CmEvent>> next_event(fid_eq* events, std::chrono::milliseconds longest);

}  // namespace wherry::fabric
