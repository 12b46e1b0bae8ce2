// poll(2), for all who wait: an interruption does not show, and an error is no "nothing has come".
// Thread-safe.
#pragma once

#include <poll.h>

#include <chrono>
#include <optional>
#include <span>

#include "base/result.h"

namespace wherry {

// Whether any of them is ready by `until`; without that it is waited for as long as it takes.
Result<bool> wait_ready(std::span<pollfd> any,
                        std::optional<std::chrono::steady_clock::time_point> until = std::nullopt);

}  // namespace wherry
