// The first frame of a connection, and the answer to it.
//
// It is read but stays in the socket. So one port can serve several sessions and services, and each gets its
// connections complete. The body is a CBOR map, as in all frames that begin a connection
// (docs/wire-format.md). Thread-safe.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

#include "base/result.h"
#include "transport/wire/frame.h"
#include "transport/wire/frame_socket.h"

namespace wherry {

// How long a new connection has to send its first frame.
inline constexpr std::chrono::milliseconds kFirstFramePatience{2000};

struct FirstFrame {
  FrameType type{};
  nlohmann::json body;
};

// Waits for `patience` at most, in all. Errors name the peer, and can be sent to it as a refusal.
Result<FirstFrame> peek_first_frame(int fd, const std::string& peer, std::chrono::milliseconds patience);

// Reads the welcome that answers a first frame. If the answer is a refusal, the error has its text.
Result<nlohmann::json> read_welcome(FrameSocket& socket);

}  // namespace wherry
