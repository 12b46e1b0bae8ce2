// The messages of a lane over a fabric. Input: a byte that chooses what, then its bytes.
//
//   0: a message as it comes; what is accepted must encode to the same bytes
//   1: the same, with length and checksum made right, so that what depends on them is reached
//   2: an answer, made of the bytes, which must come out of its message as it went in
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "base/bytes.h"
#include "tests/fuzz/promise.h"
#include "transport/fabric/fabric_message.h"

namespace wherry {
namespace {

using Bytes = std::span<const uint8_t>;

// What an encoder writes, into memory of exactly that size, so that a sanitizer sees a byte too many.
template <class Encode>
void expect_encodes_to(Bytes message, Encode&& encode) {
  std::vector<uint8_t> again(message.size(), 0xee);
  PROMISE(encode(std::span<uint8_t>(again)) == message.size());
  PROMISE(std::equal(again.begin(), again.end(), message.begin(), message.end()));
}

bool within(Bytes part, Bytes whole) {
  return part.empty() || (part.data() >= whole.data() && part.size() <= whole.size() &&
                          static_cast<size_t>(part.data() - whole.data()) <= whole.size() - part.size());
}

// True: the message was accepted.
bool start(Bytes message) {
  auto read = decode_start(message, "peer");
  if (!read) return false;
  PROMISE(within(read->table, message) && within(read->body, message));
  switch (read->kind) {
    case FabricStart::Kind::beat:
      expect_encodes_to(message, encode_beat_message);
      break;
    case FabricStart::Kind::frame:
      PROMISE(read->body.size() <= read->header.body_length);
      PROMISE(read->header.table_length == read->table.size());
      expect_encodes_to(message, [&](std::span<uint8_t> to) {
        return encode_frame_message(to, read->header, read->table, {&read->body, 1});
      });
      break;
    case FabricStart::Kind::offer:
      PROMISE(read->body.empty() && read->header.body_length > 0);
      PROMISE(read->header.type == FrameType::batch && read->header.pack_length == 0);
      expect_encodes_to(message, [&](std::span<uint8_t> to) {
        return encode_offer_message(to, read->tag, read->header, read->table);
      });
      break;
  }
  return true;
}

bool body(Bytes message) {
  auto read = decode_body_message(message, "peer");
  if (!read) return false;
  PROMISE(!read->empty() && within(*read, message));
  expect_encodes_to(message, [&](std::span<uint8_t> to) { return encode_body_message(to, {&*read, 1}); });
  return true;
}

bool answer(Bytes message) {
  auto read = decode_answer(message);
  if (!read) return false;
  if (read->grant) {
    PROMISE(read->grant->pieces.size() <= kMostFabricPieces);
    for (const FabricPiece& piece : read->grant->pieces) PROMISE(piece.length > 0);
  }
  expect_encodes_to(message, [&](std::span<uint8_t> to) { return encode_answer(to, *read); });
  return true;
}

// No message is of two kinds.
void message(Bytes input) {
  PROMISE(start(input) + body(input) + answer(input) <= 1);
}

// Makes right what a fuzzer does not find by itself: the length, and the checksum of a frame's head.
void repaired(Bytes input) {
  std::vector<uint8_t> bytes(input.begin(), input.end());
  if (bytes.size() < kFabricPrefixBytes) return;
  std::fill_n(bytes.begin() + 1, 3, uint8_t{0});
  put_le(&bytes[4], static_cast<uint32_t>(bytes.size() - kFabricPrefixBytes));
  if (bytes.size() >= kFabricPrefixBytes + kFrameHeaderBytes) {
    HeaderBytes head;
    std::copy_n(bytes.begin() + kFabricPrefixBytes, head.size(), head.begin());
    const Bytes after = Bytes(bytes).subspan(kFabricPrefixBytes + head.size());
    auto header = decode_header(head);
    if (header && header->table_length <= after.size()) {
      head = encode_header(*header, after.first(header->table_length));
      std::copy(head.begin(), head.end(), bytes.begin() + kFabricPrefixBytes);
    }
  }
  message(bytes);
}

void round_trip(Bytes input) {
  if (input.size() < 9) return;
  FabricAnswer answer;
  answer.credits = get_le<uint32_t>(&input[0]);
  const bool grants = input[8] & 1;
  if (grants) answer.grant = FabricGrant{get_le<uint32_t>(&input[4]), {}};
  input = input.subspan(9);
  for (; grants && input.size() >= 20 && answer.grant->pieces.size() < kMostFabricPieces;
       input = input.subspan(20)) {
    // An empty piece is refused, and never granted.
    answer.grant->pieces.push_back({get_le<uint64_t>(&input[0]), get_le<uint64_t>(&input[8]),
                                    std::max(get_le<uint32_t>(&input[16]), uint32_t{1})});
  }
  const size_t pieces = grants ? answer.grant->pieces.size() : 0;
  std::vector<uint8_t> message(kFabricPrefixBytes + pieces * kFabricPieceBytes, 0xee);
  PROMISE(encode_answer(message, answer) == message.size());
  auto read = decode_answer(message);
  PROMISE(read && *read == answer);
}

}  // namespace
}  // namespace wherry

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::span<const uint8_t> input(data + 1, size - 1);
  switch (data[0] % 3) {
    case 0:
      wherry::message(input);
      break;
    case 1:
      wherry::repaired(input);
      break;
    case 2:
      wherry::round_trip(input);
      break;
  }
  return 0;
}
