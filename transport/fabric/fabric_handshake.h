// How the two ends of a lane find out, over its TCP connection, whether it can go over a fabric:
//
//   source                                   destination
//   lane_hello {fabric: provider} ─────────▶ listens on that path
//   ◀──────────── welcome {fabric: where} or {no_fabric: why}
//   calls ═════════════════════════════════▶ accepts
//   writes a sample where it is told to ═══▶ looks whether it is there
//   lane_path {fabric: yes or no} ─────────▶
//   ◀──────────── welcome {fabric: yes or no}
//
// If it cannot, the lane stays on the TCP connection, and both ends know why. If it can, the TCP connection
// stays open beside the fabric, because there the kernel reports at once that the peer is gone. Each call
// returns within half a minute.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "transport/fabric/fabric_connection.h"
#include "transport/fabric/fabric_wish.h"
#include "transport/lane/slots.h"
#include "transport/wire/frame_socket.h"

namespace wherry {

struct FabricPath {
  std::unique_ptr<FabricConnection> connection;  // null: there is none
  std::string why_not;
};

// Why no lane of this host can go over a fabric, whatever the peer is; empty: it depends on the peer. The
// first call can take seconds, because libfabric loads its providers, so make it before a peer waits.
std::string why_no_fabric(const FabricWish& wish);

// Whether there is a path to the peer, for which lane_hello then asks. The error says why there is none.
Result<> find_fabric(const FrameSocket& socket, const FabricWish& wish);

// The source's part after the welcome. Fails only if the TCP connection fails.
Result<FabricPath> call_fabric(FrameSocket& socket, const nlohmann::json& welcome, const FabricWish& wish,
                               FabricDomains& domains, SlotPool& pool);

// The destination's part after a lane_hello: the welcome, and all that follows if it offers a fabric. `wish`
// is the destination's own: a source that names another provider gets a lane over TCP.
Result<FabricPath> answer_fabric(FrameSocket& socket, const nlohmann::json& hello, const FabricWish& wish,
                                 FabricDomains& domains);

}  // namespace wherry
