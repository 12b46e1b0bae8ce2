// The messages of a lane over a fabric, encoded and decoded as docs/wire-format.md has them ("Lanes over a
// fabric").
//
//   source                                       destination
//   frame, more of its body ───────────────────▶ takes the body out of the messages
//
//   offer: a frame without its body ───────────▶ finds memory for the body
//   ◀─────────────────────────── answer: grant ─ where to write it
//   body ═════════ writes, the last has the tag ═▶ it is there
//
//   ◀───────────────────────── answer: credits ─ buffers that are free again
//   beat ──────────────────────────────────────▶ nothing: it shows whether the link is alive
//
// A decoder refuses every byte that the page does not allow. What depends on the state of the lane is left to
// the caller: whether an offer with that tag is open, whether that many credits are spent, how much of a body
// is missing.
//
// An encoder writes to the beginning of `to` and returns the message's length; `to` must have room for it.
//
// Nothing here needs libfabric, or has state.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "transport/wire/frame.h"

namespace wherry {

inline constexpr size_t kFabricPrefixBytes = 16;
// The longest message to the destination, and the longest one to the source.
inline constexpr size_t kFabricMessageBytes = 64 * 1024;
inline constexpr size_t kFabricAnswerBytes = 8 * 1024;
// Bytes of a body that fit into a message after its frame's first; the first also has header and table.
inline constexpr size_t kFabricBodyBytes = kFabricMessageBytes - kFabricPrefixBytes;
constexpr size_t fabric_first_body_bytes(size_t table_length) {
  return kFabricBodyBytes - kFrameHeaderBytes - table_length;
}
static_assert(kFrameHeaderBytes + kMaxTable < kFabricBodyBytes);

// The destination has a buffer for each of these messages, and the source begins with a credit for each.
inline constexpr uint32_t kFabricCredits = 32;
// Offers that the destination may grant before the body of the first of them is written.
inline constexpr size_t kFabricOffers = 4;
// The source has a buffer for each of these answers. Each that is under way gives back a quarter of the
// credits, or grants one of the offers.
inline constexpr size_t kFabricAnswers = 16;
static_assert(kFabricAnswers >= 4 + kFabricOffers);

// What may come between two frames.
struct FabricStart {
  enum class Kind { frame, offer, beat };
  Kind kind = Kind::beat;
  FrameHeader header;              // of a frame or an offer; checked
  std::span<const uint8_t> table;  // of a frame or an offer, in the message
  std::span<const uint8_t> body;   // of a frame: the part of its body that this message has
  uint32_t tag = 0;                // of an offer: its grant has the same one, and so has its last write
};

// Where the source may write a part of a body, in the destination's memory.
struct FabricPiece {
  uint64_t address = 0;
  uint64_t key = 0;
  uint32_t length = 0;  // bytes

  bool operator==(const FabricPiece&) const = default;
};
inline constexpr size_t kFabricPieceBytes = 24;
inline constexpr size_t kMostFabricPieces = (kFabricAnswerBytes - kFabricPrefixBytes) / kFabricPieceBytes;

struct FabricGrant {
  uint32_t tag = 0;                 // of the offer
  std::vector<FabricPiece> pieces;  // in the order of the body's bytes; none is empty

  bool operator==(const FabricGrant&) const = default;
};

struct FabricAnswer {
  uint32_t credits = 0;  // that the destination gives back, one for each message
  std::optional<FabricGrant> grant;

  bool operator==(const FabricAnswer&) const = default;
};

// To the destination. `table_length` of the header must be the table's length.
size_t encode_frame_message(std::span<uint8_t> to, const FrameHeader& header, std::span<const uint8_t> table,
                            std::span<const std::span<const uint8_t>> body);
size_t encode_body_message(std::span<uint8_t> to, std::span<const std::span<const uint8_t>> body);
size_t encode_offer_message(std::span<uint8_t> to, uint32_t tag, const FrameHeader& header,
                            std::span<const uint8_t> table);
size_t encode_beat_message(std::span<uint8_t> to);

// Errors name the peer.
Result<FabricStart> decode_start(std::span<const uint8_t> message, const std::string& peer);
// More of a frame's body, in the message; never empty.
Result<std::span<const uint8_t>> decode_body_message(std::span<const uint8_t> message,
                                                     const std::string& peer);

// To the source.
size_t encode_answer(std::span<uint8_t> to, const FabricAnswer& answer);
// Errors do not name the peer.
Result<FabricAnswer> decode_answer(std::span<const uint8_t> message);

}  // namespace wherry
