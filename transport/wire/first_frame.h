// The first frame of a connection, seen without taking it: for a port behind which several sessions and
// services wait, so that each still gets its connection whole.
//
// And what its sender reads in answer.
//
// The body is a CBOR map, as all frames have that begin a connection (docs/wire-format.md). Thread-safe.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

#include "base/result.h"
#include "transport/wire/frame.h"
#include "transport/wire/frame_socket.h"

namespace wherry {

// How long a new connection may take to say what it is.
inline constexpr std::chrono::milliseconds kFirstFramePatience{2000};

struct FirstFrame {
  FrameType type{};
  nlohmann::json body;
};

// Waits up to `patience` in all. Errors name the peer; they can be told to it as a refusal.
Result<FirstFrame> peek_first_frame(int fd, const std::string& peer, std::chrono::milliseconds patience);

// Reads the welcome to a first frame; a refusal becomes the error.
Result<nlohmann::json> read_welcome(FrameSocket& socket);

}  // namespace wherry
