// The messages of a lane over a fabric: as docs/wire-format.md has them, and what of a peer's is refused.
#include "transport/fabric/fabric_message.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/base/expect_error.h"
#include "tests/transport/support.h"
#include "tests/transport/wire/wire_page.h"

namespace wherry {
namespace {

using Message = std::vector<uint8_t>;

constexpr const char* kSection = "Lanes over a fabric";
const FrameHeader kBatch{.type = FrameType::batch,
                         .channel = 3,
                         .epoch = 5,
                         .sequence = 7,
                         .pages = 16,
                         .table_length = 32,
                         .body_length = 65536};
const std::vector<uint8_t> kTable(32, 0x7a);
const FabricGrant kGranted{0x11121314, {{0x2122232425262728, 0x3132333435363738, 0x8000}, {9, 8, 0x8000}}};

// What an encoder writes to the longest buffer that it may get.
template <class Encode>
Message encoded(Encode&& encode) {
  Message message(kFabricMessageBytes, 0xee);
  message.resize(encode(std::span<uint8_t>(message)));
  return message;
}
Message frame_message(const FrameHeader& header, const std::vector<uint8_t>& table,
                      const std::vector<uint8_t>& body) {
  // In two pieces, as bodies come.
  const std::array<std::span<const uint8_t>, 2> pieces{std::span(body).first(body.size() / 3),
                                                       std::span(body).subspan(body.size() / 3)};
  return encoded([&](auto to) { return encode_frame_message(to, header, table, pieces); });
}
Message body_message(const std::vector<uint8_t>& body) {
  const std::span<const uint8_t> piece = body;
  return encoded([&](auto to) { return encode_body_message(to, {&piece, 1}); });
}
Message offer_message(uint32_t tag, const FrameHeader& header, const std::vector<uint8_t>& table) {
  return encoded([&](auto to) { return encode_offer_message(to, tag, header, table); });
}
Message answer_message(const FabricAnswer& answer) {
  return encoded([&](auto to) { return encode_answer(to, answer); });
}

// A record with a body of four bytes, all of which is in the message; and an empty one.
Message record_message(FrameHeader header = {.type = FrameType::record, .body_length = 4}) {
  return frame_message(header, {}, std::vector<uint8_t>(header.body_length, 1));
}

// With that many more bytes, or fewer; the prefix says so.
Message resized(Message message, int bytes) {
  message.resize(static_cast<size_t>(static_cast<int>(message.size()) + bytes));
  message[4] = static_cast<uint8_t>(message.size() - kFabricPrefixBytes);
  message[5] = static_cast<uint8_t>((message.size() - kFabricPrefixBytes) >> 8);
  return message;
}
Message altered(Message message, size_t at, uint8_t byte) {
  message[at] = byte;
  return message;
}

Result<FabricStart> start_of(const Message& message) {
  return decode_start(message, "peer");
}

TEST(FabricMessage, ThePrefixIsAsOnThePage) {
  const Message grant = answer_message({0x41424344, kGranted});
  const std::map<std::string, uint64_t> values = {
      {"kind", 4}, {"reserved", 0}, {"length", 48}, {"tag", 0x11121314}, {"credits", 0x41424344}};
  test::expect_layout(test::page().table(kSection, "offset"), std::span(grant).first(kFabricPrefixBytes),
                      values);
}

TEST(FabricMessage, ExactlyTheKindsOnThePageAreKnown) {
  const std::map<std::string, Message> ours = {
      {"frame", record_message()},
      {"body", body_message({1})},
      {"offer", offer_message(1, kBatch, kTable)},
      {"grant", answer_message({0, kGranted})},
      {"credits", answer_message({8, std::nullopt})},
      {"beat", encoded(encode_beat_message)},
  };
  std::map<int, std::string> on_page;
  std::map<std::string, std::string> senders;
  for (const test::Row& row : test::page().table(kSection, "kind")) {
    on_page[std::stoi(row[0])] = row[1];
    senders[row[1]] = row[2];
    ASSERT_TRUE(ours.contains(row[1])) << row[1];
    EXPECT_EQ(ours.at(row[1])[0], std::stoi(row[0])) << row[1];
  }
  EXPECT_EQ(on_page.size(), ours.size());
  for (const auto& [name, message] : ours) {
    for (int kind = 0; kind < 256; ++kind) {
      const Message other = altered(message, 0, static_cast<uint8_t>(kind));
      const std::string known = on_page.contains(kind) ? on_page[kind] : "";
      const bool to_destination = start_of(other) || decode_body_message(other, "peer");
      const bool to_source = decode_answer(other).has_value();
      if (known.empty()) {
        EXPECT_FALSE(to_destination || to_source) << name << " " << kind;
      }
      if (known != name) continue;
      EXPECT_EQ(to_destination, senders[name] == "source") << name;
      EXPECT_EQ(to_source, senders[name] == "destination") << name;
    }
  }
}

// Written by hand.
TEST(FabricMessage, AGrantIsTheseBytes) {
  const Message bytes = {
      4,    0,    0,    0,                             // kind, reserved
      48,   0,    0,    0,                             // length
      0x14, 0x13, 0x12, 0x11,                          // tag
      2,    0,    0,    0,                             // credits
      0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21,  // address
      0x38, 0x37, 0x36, 0x35, 0x34, 0x33, 0x32, 0x31,  // key
      0,    0x80, 0,    0,    0,    0,    0,    0,     // length, reserved
      9,    0,    0,    0,    0,    0,    0,    0,     // address
      8,    0,    0,    0,    0,    0,    0,    0,     // key
      0,    0x80, 0,    0,    0,    0,    0,    0,     // length, reserved
  };
  EXPECT_EQ(answer_message({2, kGranted}), bytes);
  auto answer = decode_answer(bytes);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(*answer, (FabricAnswer{2, kGranted}));
}
TEST(FabricMessage, CreditsAreTheseBytes) {
  const Message bytes = {5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0};
  EXPECT_EQ(answer_message({8, std::nullopt}), bytes);
  auto answer = decode_answer(bytes);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(*answer, (FabricAnswer{8, std::nullopt}));
}
TEST(FabricMessage, ABeatIsTheseBytes) {
  const Message bytes = {6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(encoded(encode_beat_message), bytes);
  auto start = start_of(bytes);
  ASSERT_TRUE(start) << start.error().message;
  EXPECT_EQ(start->kind, FabricStart::Kind::beat);
}
TEST(FabricMessage, AFrameIsItsPrefixHeaderTableAndBody) {
  const std::vector<uint8_t> body = test::noise(1000, 1);
  const Message message = frame_message(kBatch, kTable, body);
  Message expected = {1, 0, 0, 0, 0x48, 0x04, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  const HeaderBytes header = encode_header(kBatch, kTable);
  expected.insert(expected.end(), header.begin(), header.end());
  expected.insert(expected.end(), kTable.begin(), kTable.end());
  expected.insert(expected.end(), body.begin(), body.end());
  EXPECT_EQ(message, expected);
  auto start = start_of(message);
  ASSERT_TRUE(start) << start.error().message;
  EXPECT_EQ(start->kind, FabricStart::Kind::frame);
  EXPECT_EQ(start->header, kBatch);
  EXPECT_TRUE(std::equal(start->table.begin(), start->table.end(), kTable.begin(), kTable.end()));
  EXPECT_TRUE(std::equal(start->body.begin(), start->body.end(), body.begin(), body.end()));
}
TEST(FabricMessage, ABodyIsItsPrefixAndBytes) {
  const Message bytes = {2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 8, 9};
  EXPECT_EQ(body_message({7, 8, 9}), bytes);
  auto body = decode_body_message(bytes, "peer");
  ASSERT_TRUE(body) << body.error().message;
  EXPECT_EQ(Message(body->begin(), body->end()), (Message{7, 8, 9}));
}
TEST(FabricMessage, AnOfferHasHeaderTableAndTag) {
  const Message message = offer_message(0x11121314, kBatch, kTable);
  EXPECT_EQ(Message(message.begin(), message.begin() + 16),
            (Message{3, 0, 0, 0, 96, 0, 0, 0, 0x14, 0x13, 0x12, 0x11, 0, 0, 0, 0}));
  auto start = start_of(message);
  ASSERT_TRUE(start) << start.error().message;
  EXPECT_EQ(start->kind, FabricStart::Kind::offer);
  EXPECT_EQ(start->tag, 0x11121314u);
  EXPECT_EQ(start->header, kBatch);
  EXPECT_TRUE(std::equal(start->table.begin(), start->table.end(), kTable.begin(), kTable.end()));
  EXPECT_TRUE(start->body.empty());
}

TEST(FabricMessage, TheLongestAreAsLongAsThePageAllows) {
  const FrameHeader header{.type = FrameType::batch, .table_length = kMaxTable, .body_length = kMaxBody};
  const std::vector<uint8_t> table(kMaxTable);
  const Message frame =
      frame_message(header, table, std::vector<uint8_t>(fabric_first_body_bytes(kMaxTable)));
  EXPECT_EQ(frame.size(), 65536u);
  EXPECT_TRUE(start_of(frame));
  const Message body = body_message(std::vector<uint8_t>(kFabricBodyBytes));
  EXPECT_EQ(body.size(), 65536u);
  EXPECT_TRUE(decode_body_message(body, "peer"));
  const FabricGrant most{1, std::vector<FabricPiece>(kMostFabricPieces, {1, 2, 3})};
  const Message grant = answer_message({0, most});
  EXPECT_LE(grant.size(), 8192u);
  EXPECT_GT(grant.size() + kFabricPieceBytes, 8192u);
  EXPECT_TRUE(decode_answer(grant));
  Message longer(65536 + 1);
  longer[0] = 2;
  longer[4] = 0xf1;
  longer[5] = 0xff;
  EXPECT_ERROR(decode_body_message(longer, "peer"), "peer", "65537 bytes");
  EXPECT_ERROR(decode_answer(Message(8192 + 1)), "8193 bytes");
}

// By each decoder: these faults are found before the kind is looked at.
void expect_refused_by_all(const Message& message, const std::string& why) {
  EXPECT_ERROR(start_of(message), why);
  EXPECT_ERROR(decode_body_message(message, "peer"), why);
  EXPECT_ERROR(decode_answer(message), why);
}
TEST(FabricMessage, PrefixesThatAreWrong) {
  expect_refused_by_all({}, "of 0 bytes");
  expect_refused_by_all(Message(15), "of 15 bytes");
  for (const Message& message :
       {record_message(), body_message({1}), offer_message(1, kBatch, kTable), answer_message({0, kGranted}),
        answer_message({8, std::nullopt}), encoded(encode_beat_message)}) {
    for (size_t at = 1; at < 4; ++at) expect_refused_by_all(altered(message, at, 1), "prefix");
    // A length that is wrong: of too few bytes, and of too many.
    Message cut = message;
    cut.push_back(0);
    expect_refused_by_all(cut, "prefix");
    for (size_t at = 4; at < 8; ++at)
      expect_refused_by_all(altered(message, at, message[at] ^ 0x80), "prefix");
  }
}
TEST(FabricMessage, TagsAndCreditsWhereThePageHasNone) {
  for (const size_t at : {8, 11, 12, 15}) {
    EXPECT_ERROR(start_of(altered(record_message(), at, 1)), "peer", "tag or credits");
    EXPECT_ERROR(start_of(altered(encoded(encode_beat_message), at, 1)), "peer", "tag or credits");
    EXPECT_ERROR(decode_body_message(altered(body_message({1}), at, 1), "peer"), "peer", "tag or credits");
  }
  EXPECT_ERROR(start_of(altered(offer_message(1, kBatch, kTable), 12, 1)), "peer", "tag or credits");
  EXPECT_ERROR(decode_answer(altered(answer_message({8, std::nullopt}), 8, 1)), "credits with a tag");
}
TEST(FabricMessage, OtherKindsThanAFrame) {
  EXPECT_ERROR(start_of(altered(Message(16), 0, 9)), "peer", "kind 9 and 0 bytes");
  EXPECT_ERROR(start_of(body_message({1})), "peer", "kind 2 and 1 bytes");
  EXPECT_ERROR(start_of(answer_message({8, std::nullopt})), "kind 5 and 0 bytes");
  // A beat with a body, and a frame without a whole header.
  EXPECT_ERROR(start_of(resized(encoded(encode_beat_message), 1)), "kind 6 and 1 bytes");
  EXPECT_ERROR(start_of(resized(record_message(), -5)), "kind 1 and 63 bytes");
}
TEST(FabricMessage, FramesThatAreWrong) {
  EXPECT_ERROR(start_of(altered(record_message(), 16, 0)), "peer", "not a Wherry frame");
  EXPECT_ERROR(start_of(altered(record_message(), 16 + 5, 99)), "peer", "type 99");
  EXPECT_ERROR(start_of(altered(record_message(), 16 + 20, 1)), "peer", "header was damaged");
  EXPECT_ERROR(start_of(resized(frame_message(kBatch, kTable, {}), -1)), "peer", "incomplete table");
  EXPECT_ERROR(start_of(altered(frame_message(kBatch, kTable, {}), 16 + 64, 0)), "peer",
               "header was damaged");
  EXPECT_ERROR(start_of(resized(record_message(), 1)), "peer", "more than the body");
  EXPECT_ERROR(start_of(resized(record_message({.type = FrameType::close}), 1)), "peer",
               "more than the body");
}
TEST(FabricMessage, OffersThatAreWrong) {
  const auto refused = [](FrameHeader header) {
    const std::vector<uint8_t> table(header.table_length);
    EXPECT_ERROR(start_of(offer_message(1, header, table)), "peer", "raw pages");
  };
  refused({.type = FrameType::batch});
  refused({.type = FrameType::record, .body_length = 65536});
  refused({.type = FrameType::batch, .body_length = 65536, .pack_length = 4096, .plain_length = 4096});
  EXPECT_ERROR(start_of(resized(offer_message(1, kBatch, kTable), 1)), "peer", "raw pages");
  EXPECT_ERROR(start_of(resized(offer_message(1, kBatch, kTable), -1)), "peer", "incomplete table");
}
TEST(FabricMessage, OtherKindsThanABody) {
  EXPECT_ERROR(decode_body_message(record_message(), "peer"), "peer", "kind 1");
  EXPECT_ERROR(decode_body_message(encoded(encode_beat_message), "peer"), "kind 6");
  // A body of nothing.
  EXPECT_ERROR(decode_body_message(body_message({}), "peer"), "kind 2");
}
TEST(FabricMessage, AnswersThatAreWrong) {
  EXPECT_ERROR(decode_answer(record_message()), "kind 1");
  EXPECT_ERROR(decode_answer(resized(answer_message({8, std::nullopt}), 1)), "more bytes");
  EXPECT_ERROR(decode_answer(resized(answer_message({0, kGranted}), -1)), "middle of a piece");
  EXPECT_ERROR(decode_answer(answer_message({0, FabricGrant{1, {{1, 2, 0}}}})), "invalid piece");
  // The reserved bytes of a piece.
  for (size_t at = 20; at < 24; ++at) {
    const Message message = altered(answer_message({0, kGranted}), 16 + at, 1);
    EXPECT_ERROR(decode_answer(message), "invalid piece");
  }
}

}  // namespace
}  // namespace wherry
