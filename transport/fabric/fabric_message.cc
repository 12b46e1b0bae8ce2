#include "transport/fabric/fabric_message.h"

#include <algorithm>

#include "base/bytes.h"

namespace wherry {
namespace {

// Byte 0 of a message.
constexpr uint8_t kFrame = 1;
constexpr uint8_t kBody = 2;
constexpr uint8_t kOffer = 3;
constexpr uint8_t kGrant = 4;
constexpr uint8_t kCredits = 5;
constexpr uint8_t kBeat = 6;

// Offsets in the prefix.
constexpr size_t kReservedAt = 1;
constexpr size_t kLengthAt = 4;
constexpr size_t kTagAt = 8;
constexpr size_t kCreditsAt = 12;

// Offsets in a granted piece.
constexpr size_t kKeyAt = 8;
constexpr size_t kPieceLengthAt = 16;
constexpr size_t kPieceReservedAt = 20;

// A message whose prefix was checked, except for tag and credits: which are allowed depends on the kind.
struct Opened {
  uint8_t kind = 0;
  uint32_t tag = 0;
  uint32_t credits = 0;
  std::span<const uint8_t> bytes;  // after the prefix
};

Result<Opened> open_message(std::span<const uint8_t> message, size_t longest) {
  if (message.size() < kFabricPrefixBytes || message.size() > longest)
    return fail("a message of {} bytes", message.size());
  const auto prefix = message.first(kFabricPrefixBytes);
  const auto bytes = message.subspan(kFabricPrefixBytes);
  const auto reserved = prefix.subspan(kReservedAt, kLengthAt - kReservedAt);
  if (get_le<uint32_t>(&prefix[kLengthAt]) != bytes.size() ||
      std::any_of(reserved.begin(), reserved.end(), [](uint8_t byte) { return byte != 0; }))
    return fail("a message with an invalid prefix");
  return Opened{prefix[0], get_le<uint32_t>(&prefix[kTagAt]), get_le<uint32_t>(&prefix[kCreditsAt]), bytes};
}

// Writes the prefix of a message. Its caller writes the `length` bytes after that. Returns the length of all.
size_t put_prefix(std::span<uint8_t> to, uint8_t kind, size_t length, uint32_t tag = 0,
                  uint32_t credits = 0) {
  to[0] = kind;
  std::fill_n(to.begin() + kReservedAt, kLengthAt - kReservedAt, uint8_t{0});
  put_le(&to[kLengthAt], static_cast<uint32_t>(length));
  put_le(&to[kTagAt], tag);
  put_le(&to[kCreditsAt], credits);
  return kFabricPrefixBytes + length;
}

// Writes what follows a prefix.
class Appender {
 public:
  explicit Appender(std::span<uint8_t> to) : at_(to.data() + kFabricPrefixBytes), begin_(at_) {}
  void add(std::span<const uint8_t> bytes) { at_ = std::copy(bytes.begin(), bytes.end(), at_); }
  size_t length() const { return static_cast<size_t>(at_ - begin_); }

 private:
  uint8_t* at_;
  const uint8_t* const begin_;
};

}  // namespace

size_t encode_frame_message(std::span<uint8_t> to, const FrameHeader& header, std::span<const uint8_t> table,
                            std::span<const std::span<const uint8_t>> body) {
  Appender rest(to);
  rest.add(encode_header(header, table));
  rest.add(table);
  for (const auto part : body) rest.add(part);
  return put_prefix(to, kFrame, rest.length());
}

size_t encode_body_message(std::span<uint8_t> to, std::span<const std::span<const uint8_t>> body) {
  Appender rest(to);
  for (const auto part : body) rest.add(part);
  return put_prefix(to, kBody, rest.length());
}

size_t encode_offer_message(std::span<uint8_t> to, uint32_t tag, const FrameHeader& header,
                            std::span<const uint8_t> table) {
  Appender rest(to);
  rest.add(encode_header(header, table));
  rest.add(table);
  return put_prefix(to, kOffer, rest.length(), tag);
}

size_t encode_beat_message(std::span<uint8_t> to) {
  return put_prefix(to, kBeat, 0);
}

Result<FabricStart> decode_start(std::span<const uint8_t> message, const std::string& peer) {
  auto opened = open_message(message, kFabricMessageBytes);
  if (!opened) return fail("{}: {}", peer, opened.error().message);
  const uint8_t kind = opened->kind;
  std::span<const uint8_t> bytes = opened->bytes;
  const bool beat = kind == kBeat && bytes.empty();
  if (!beat && ((kind != kFrame && kind != kOffer) || bytes.size() < kFrameHeaderBytes))
    return fail("{} sent a message of kind {} and {} bytes instead of a frame", peer, kind, bytes.size());
  if (opened->credits != 0 || (opened->tag != 0 && kind != kOffer))
    return fail("{} sent a message of kind {} with a tag or credits that it cannot have", peer, kind);
  if (beat) return FabricStart{};

  HeaderBytes head;
  std::copy_n(bytes.begin(), head.size(), head.begin());
  auto header = decode_header(head);
  if (!header) return fail("{}: {}", peer, header.error().message);
  bytes = bytes.subspan(head.size());
  if (bytes.size() < header->table_length) return fail("{} sent an incomplete table", peer);
  const auto table = bytes.first(header->table_length);
  const auto body = bytes.subspan(table.size());
  if (auto checked = check_head(head, table); !checked) return fail("{}: {}", peer, checked.error().message);
  if (kind == kFrame) {
    if (body.size() > header->body_length) return fail("{} sent more than the body of its frame", peer);
    return FabricStart{FabricStart::Kind::frame, *header, table, body, 0};
  }
  if (!body.empty() || header->body_length == 0 || header->type != FrameType::batch ||
      header->pack_length != 0)
    return fail("{} offers something other than a batch of raw pages", peer);
  return FabricStart{FabricStart::Kind::offer, *header, table, {}, opened->tag};
}

Result<std::span<const uint8_t>> decode_body_message(std::span<const uint8_t> message,
                                                     const std::string& peer) {
  auto opened = open_message(message, kFabricMessageBytes);
  if (!opened) return fail("{}: {}", peer, opened.error().message);
  if (opened->kind != kBody || opened->bytes.empty())
    return fail("{} sent a message of kind {} instead of a body", peer, opened->kind);
  if (opened->credits != 0 || opened->tag != 0)
    return fail("{} sent a body with a tag or credits that it cannot have", peer);
  return opened->bytes;
}

size_t encode_answer(std::span<uint8_t> to, const FabricAnswer& answer) {
  if (!answer.grant) return put_prefix(to, kCredits, 0, 0, answer.credits);
  uint8_t* at = to.data() + kFabricPrefixBytes;
  for (const FabricPiece& piece : answer.grant->pieces) {
    put_le(at, piece.address);
    put_le(at + kKeyAt, piece.key);
    put_le(at + kPieceLengthAt, piece.length);
    put_le(at + kPieceReservedAt, uint32_t{0});
    at += kFabricPieceBytes;
  }
  return put_prefix(to, kGrant, answer.grant->pieces.size() * kFabricPieceBytes, answer.grant->tag,
                    answer.credits);
}

Result<FabricAnswer> decode_answer(std::span<const uint8_t> message) {
  auto opened = open_message(message, kFabricAnswerBytes);
  if (!opened) return pass_on(opened);
  std::span<const uint8_t> bytes = opened->bytes;
  if (opened->kind == kCredits) {
    if (opened->tag != 0 || !bytes.empty()) return fail("a message of credits with a tag or more bytes");
    return FabricAnswer{opened->credits, std::nullopt};
  }
  if (opened->kind != kGrant) return fail("it sent a message of kind {}", opened->kind);
  if (bytes.size() % kFabricPieceBytes != 0) return fail("a grant that ends in the middle of a piece");
  FabricGrant grant{opened->tag, {}};
  grant.pieces.reserve(bytes.size() / kFabricPieceBytes);
  for (; !bytes.empty(); bytes = bytes.subspan(kFabricPieceBytes)) {
    const FabricPiece piece{get_le<uint64_t>(bytes.data()), get_le<uint64_t>(&bytes[kKeyAt]),
                            get_le<uint32_t>(&bytes[kPieceLengthAt])};
    if (piece.length == 0 || get_le<uint32_t>(&bytes[kPieceReservedAt]) != 0)
      return fail("a grant with an invalid piece");
    grant.pieces.push_back(piece);
  }
  return FabricAnswer{opened->credits, std::move(grant)};
}

}  // namespace wherry
