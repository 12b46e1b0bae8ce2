// Calling the peer of a session. Thread-safe.
#pragma once

#include <chrono>
#include <memory>

#include "base/event.h"
#include "base/result.h"
#include "transport/socket/connect.h"
#include "transport/source/source_options.h"
#include "transport/wire/frame_socket.h"

namespace wherry {

// How long control and each lane may take to connect and to be answered.
inline constexpr std::chrono::milliseconds kConnectTimeout{10'000};

// The connection's reads wait `timeout` at most, too. `cancel` ends the attempt.
Result<std::unique_ptr<FrameSocket>> dial(const Endpoint& peer, const SourceOptions& options,
                                          std::chrono::milliseconds timeout, const Event& cancel,
                                          SourcePort from = SourcePort::any);

}  // namespace wherry
