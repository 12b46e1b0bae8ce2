// What a wherryd offers to others besides migrations, each on a connection of its own (docs/wire-format.md).
#pragma once

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "transport/wire/frame_socket.h"

namespace wherry::daemon {

struct Service {
  std::unique_ptr<FrameSocket> socket;
  nlohmann::json welcome;  // a map
};

// Asks for a service over a fresh connection to `peer`, as errors shall name it. Behind the welcome the
// connection is the service's. `patience`: for each wait. `padding`: bytes that only make the question long.
Result<Service> ask_for_service(Fd connection, std::string peer, const std::string& service,
                                std::chrono::milliseconds patience, size_t padding = 0);

}  // namespace wherry::daemon
