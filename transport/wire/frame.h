// The 64-byte frame header that starts everything on the wire, as docs/wire-format.md has it byte for byte.
//
// A frame is header, table, body. `head_sum` covers the header up to itself and the table, so that a receiver
// knows where a body belongs before it reads it; `body_sum` covers the body. Both are XXH3-64: they find
// damage, not malice (that is sealing's job).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace wherry {

inline constexpr uint32_t kFrameMagic = 0x59524857;  // "WHRY" on the wire
inline constexpr uint8_t kWireVersion = 1;
inline constexpr size_t kFrameHeaderBytes = 64;
inline constexpr uint32_t kMaxTable = 16 * 1024;
inline constexpr uint32_t kMaxBody = 1024 * 1024;

enum class FrameType : uint8_t {
  // Of a channel, in its own order, on a lane (an urgent channel's on the control connection).
  open = 1,    // the channel begins; `aux` says what kind it is
  record = 2,  // bytes of the channel that are no guest pages
  batch = 3,   // guest pages
  close = 4,   // the channel ends in this direction, or with `aux` kBothWays in both
  blocks = 5,  // the RAM blocks that batches refer to, CBOR
  // First on a connection.
  hello = 16,       // control: who we are and what we can, CBOR
  welcome = 17,     // control: the answer, with the lane token, CBOR
  refuse = 18,      // instead of welcome: why not, text
  lane_hello = 19,  // lane: token and number, CBOR
  service = 20,     // neither: something else that the far daemon offers, CBOR
  lane_path = 21,   // lane, behind a welcome that offers a fabric: whether it was reached, CBOR
  last_word = 22,   // of a source that lost its session: what has the VMM said, and how did it end? CBOR
  // On the control connection.
  ack = 24,            // `channel` and `sequence` are placed or written
  reverse = 25,        // bytes from the destination to the source of `channel`
  reverse_close = 26,  // the channel ended in that direction, or with `aux` kBothWays in both
  failed = 27,         // the session is over, text says why; `aux` may be kNeverThere
  done = 28,           // this side has finished; its account of the session, CBOR
  bases = 29,          // of which blocks the destination can read what it was sent, CBOR
  again = 30,          // the batch `sequence` of `channel` is needed once more, whole
  lane_lost = 31,      // the source sends nothing more on lane `aux`
  lane_ended = 32,     // the destination places nothing more that comes on lane `aux`
  may_be_there = 33,   // the source sends what the VMM may be complete with, and holds to that if all is lost
};

// As in FrameType and docs/wire-format.md; empty for a number that is no type.
std::string_view name(FrameType type);

// Flags of a record, and one of a batch.
enum FrameFlag : uint16_t {
  kEpochEnd =
      1,  // with this record the channel ends its epoch; `aux`, on main: channels that take part in it
  kSetupDone = 2,    // behind this record the VMM can be asked whether it is past its setup
  kOpaque = 4,       // from this record on the channel is not parsed
  kPagesDone = 8,    // no page of the guest follows on this channel
  kNeedsPages = 16,  // makes sense only behind the channel's earlier pages, in the same stream
  kSums = 32,        // of a batch: its pack ends with a hash of each page
  kAsksHow = 64,     // in this record the VMM is asked to say on the way back how it ends
};

struct FrameHeader {
  FrameType type{};
  uint16_t flags = 0;
  uint16_t channel = 0;
  uint32_t epoch = 0;
  uint64_t sequence = 0;  // counts the channel's frames from 0
  uint32_t pages = 0;
  uint32_t table_length = 0;
  uint32_t body_length = 0;
  uint32_t aux = 0;
  uint32_t pack_length = 0;   // bytes at the body's beginning that unpack to
  uint32_t plain_length = 0;  // so many; equal: they are plain
  uint64_t body_sum = 0;

  bool operator==(const FrameHeader&) const = default;
};

struct FrameHead {
  FrameHeader header;
  std::vector<uint8_t> table;
};

// `aux` of close and reverse_close: the VMM takes nothing more either.
inline constexpr uint32_t kBothWays = 1;
// `aux` of failed: the destination's VMM does not have the guest, and will not.
inline constexpr uint32_t kNeverThere = 1;

using HeaderBytes = std::array<uint8_t, kFrameHeaderBytes>;

HeaderBytes encode_header(const FrameHeader& header, std::span<const uint8_t> table);

// Checks magic, version, type, reserved bytes and lengths; the sum only once the table is there.
Result<FrameHeader> decode_header(const HeaderBytes& bytes);
Result<> check_head(const HeaderBytes& bytes, std::span<const uint8_t> table);

// XXH3-64 over pieces in order.
class Checksum {
 public:
  Checksum();
  ~Checksum();
  void reset();
  void add(std::span<const uint8_t> bytes);
  uint64_t value() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace wherry
