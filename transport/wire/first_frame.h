// The first frame of a connection, and the answer to it.
//
// It is read but stays in the socket. So one port can serve several sessions and services, and each gets its
// connections complete. The body is a CBOR map, as in all frames that begin a connection
// (docs/wire-format.md). Thread-safe.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/result.h"
#include "transport/wire/bounds.h"
#include "transport/wire/frame.h"
#include "transport/wire/frame_socket.h"

namespace wherry {

// What a connection is told that has not sent it in time.
inline constexpr const char* kFirstFrameLate = "it did not send a first frame in time";

struct FirstFrame {
  FrameType type{};
  nlohmann::json body;
};

// For who waits for many of them, with poll(2): the frame, or nothing if it is not complete yet. Then the
// socket is readable only when more of it can be told, so that bytes that come one by one wake nobody.
Result<std::optional<FirstFrame>> look_for_first_frame(int fd, const std::string& peer);

// Waits for `patience` at most, in all. Errors name the peer, and can be sent to it as a refusal.
Result<FirstFrame> peek_first_frame(int fd, const std::string& peer, std::chrono::milliseconds patience);

// Reads the welcome that answers a first frame. If the answer is a refusal, the error has its text.
Result<nlohmann::json> read_welcome(FrameSocket& socket);

}  // namespace wherry
