// How a source sends. The values were checked when they were read from the user (qemu-glue/uri.h).
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/trace.h"
#include "compression/compression.h"
#include "transport/fabric/fabric_wish.h"
#include "transport/socket/endpoint.h"

namespace wherry {

struct SourceOptions {
  std::vector<Endpoint> peers;  // lanes are spread over them; control goes to the first
  size_t lanes = 2;
  std::chrono::milliseconds downtime{300};
  std::chrono::seconds silence{30};  // how long the peer may be unreachable
  uint64_t bandwidth = 0;            // the most bytes a second of all lanes together; 0: no limit
  Compression compression{};
  FabricWish fabric{};
  std::string route{};  // which migration, at a destination that serves several at one port
  Tracer trace{};       // the session's events
  nlohmann::json wishes = nlohmann::json::object();  // what the hello asks for; nothing here reads it
};

}  // namespace wherry
