// What a wherryd offers to other hosts besides migrations, each on its own connection (docs/wire-format.md).
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

// Requests a service over a new connection: `asked` is the map of the first frame, with "service". `peer` is
// the name in errors. After the welcome the connection carries the service's bytes. `patience` is the timeout
// of each wait.
Result<Service> ask_for_service(Fd connection, std::string peer, const nlohmann::json& asked,
                                std::chrono::milliseconds patience);

}  // namespace wherry::daemon
