// Opening the lanes of a session: a connection for each, its handshake, and the fabric it goes over if there
// is one (docs/wire-format.md, "Lanes").
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/failure.h"
#include "base/result.h"
#include "transport/fabric/fabric_domain.h"
#include "transport/fabric/rdma_ports.h"
#include "transport/lane/lane.h"
#include "transport/lane/slots.h"
#include "transport/source/source_options.h"

namespace wherry {

struct OpenLane {
  std::unique_ptr<LaneSender> sender;
  std::string no_fabric;         // why it goes over TCP; empty: it goes over a fabric
  std::optional<RdmaPort> port;  // this host's RDMA port that it goes over, if the fabric has ports
};

struct LaneCall {
  const SourceOptions& options;
  std::string token;  // the session's, from its welcome
  FabricDomains& fabrics;
  SlotPool& pool;  // what lanes send from
  Failure& failure;
};

// Opens all of them side by side, because a fabric's handshake takes many round trips. The error is that of
// the lane with the lowest number that has one.
Result<std::vector<OpenLane>> open_lanes(LaneCall call);

}  // namespace wherry
