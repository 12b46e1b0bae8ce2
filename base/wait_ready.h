// poll(2) for everything that waits: it continues after a signal, and does not take an error for a timeout.
// Thread-safe.
#pragma once

#include <poll.h>

#include <chrono>
#include <optional>
#include <span>

#include "base/result.h"

namespace wherry {

// True if any of them is ready before `until`. Without `until`, waits for as long as it takes.
Result<bool> wait_ready(std::span<pollfd> any,
                        std::optional<std::chrono::steady_clock::time_point> until = std::nullopt);

}  // namespace wherry
