// The 64-byte header of a frame. docs/wire-format.md describes frames byte by byte; all bytes on the wire
// belong to frames.
//
// A frame is a header, a table and a body. `head_sum` covers the rest of the header and the table, so that a
// receiver knows where a body belongs before it reads it. `body_sum` covers the body. Both are XXH3-64: they
// find damage, but do not stop an attacker (that is the job of sealing).
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
inline constexpr uint8_t kWireVersion = 2;
inline constexpr size_t kFrameHeaderBytes = 64;
inline constexpr uint32_t kMaxTable = 16 * 1024;
inline constexpr uint32_t kMaxBody = 1024 * 1024;

enum class FrameType : uint8_t {
  // Frames of a channel, numbered. They travel on lanes; blocks and an urgent channel's on the control
  // connection.
  open = 1,    // the channel begins; `aux` is its kind
  record = 2,  // bytes of the channel that are not guest pages
  batch = 3,   // guest pages
  close = 4,   // the channel ends in this direction; if `aux` is kBothWays, in both
  blocks = 5,  // the RAM blocks that batches refer to, CBOR
  // The first frame of a connection, and the answers to it.
  hello = 16,       // on the control connection: what the source asks for, CBOR
  welcome = 17,     // the answer, CBOR; to a hello, it has the token for the lanes
  refuse = 18,      // instead of welcome: why not, text
  lane_hello = 19,  // on a lane: token and number, CBOR
  service = 20,     // on a connection of no session: a service that the other wherryd offers, CBOR
  lane_path = 21,   // on a lane, after a welcome that offers a fabric: whether the source reached it, CBOR
  last_word = 22,   // from a source that lost its session: asks what the VMM has said since, CBOR
  // On the control connection.
  ack = 24,            // frame `sequence` of `channel` is placed or written
  reverse = 25,        // bytes from the destination to the source of `channel`
  reverse_close = 26,  // the channel ended in that direction; if `aux` is kBothWays, in both
  failed = 27,         // the session is over, with the reason as text; `aux` can be kNeverThere
  done = 28,           // this side has finished; its account of the session, CBOR
  bases = 29,          // what pages can refer to at the destination, CBOR
  again = 30,          // batch `sequence` of `channel` is needed again, with whole pages
  lane_lost = 31,      // the source sends nothing more on lane `aux`
  lane_ended = 32,     // the destination places nothing more that comes on lane `aux`
  may_be_there = 33,   // from now on the source sends bytes with which the VMM may be complete
};

// As in FrameType and docs/wire-format.md; empty for a number that is no type.
std::string_view name(FrameType type);

// Flags of a record, and one of a batch.
enum FrameFlag : uint16_t {
  kEpochEnd = 1,     // the channel's epoch ends here; `aux`, on channel 0: how many channels take part in it
  kSetupDone = 2,    // after this record the VMM can be asked whether it is past its setup
  kOpaque = 4,       // from this record on the channel is not parsed
  kPagesDone = 8,    // no page of the guest follows on this channel
  kNeedsPages = 16,  // with kOpaque: the rest makes sense only after the channel's pages, in the same stream
  kSums = 32,        // of a batch: its pack ends with a digest of each page that is not zero
  kAsksHow = 64,     // in this record the VMM is asked to say on the return path how it ends
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
  uint32_t pack_length = 0;   // bytes of the pack, at the start of the body
  uint32_t plain_length = 0;  // bytes that the pack unpacks to; if equal to pack_length, it is plain
  uint64_t body_sum = 0;

  bool operator==(const FrameHeader&) const = default;
};

struct FrameHead {
  FrameHeader header;
  std::vector<uint8_t> table;
};

// `aux` of close and reverse_close: the VMM reads nothing more from the channel either.
inline constexpr uint32_t kBothWays = 1;
// `aux` of failed: the destination's VMM does not have the guest, and will not get it.
inline constexpr uint32_t kNeverThere = 1;

using HeaderBytes = std::array<uint8_t, kFrameHeaderBytes>;

HeaderBytes encode_header(const FrameHeader& header, std::span<const uint8_t> table);

// Checks magic, version, type, reserved bytes and lengths.
Result<FrameHeader> decode_header(const HeaderBytes& bytes);
// Checks head_sum, which needs the table.
Result<> check_head(const HeaderBytes& bytes, std::span<const uint8_t> table);

// XXH3-64 (seed 0) of pieces, in order.
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
