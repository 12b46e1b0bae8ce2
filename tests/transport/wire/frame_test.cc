#include "transport/wire/frame.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "tests/base/expect_error.h"

namespace wherry {
namespace {

// All fields differ, in each of their bytes. Lengths must be within their bounds.
const FrameHeader kHeader{.type = FrameType::batch,
                          .flags = 0x0506,
                          .channel = 0x0708,
                          .epoch = 0x11121314,
                          .sequence = 0x2122232425262728,
                          .pages = 0x31323334,
                          .table_length = 16,
                          .body_length = 0x2000,
                          .aux = 0x45464748,
                          .pack_length = 0x1234,
                          .plain_length = 0x00056789,
                          .body_sum = 0x5152535455565758};

std::vector<uint8_t> golden_table() {
  std::vector<uint8_t> table;
  for (int i = 0; i < 16; ++i) table.push_back(static_cast<uint8_t>(0xa0 + i));
  return table;
}

// Written by hand. Another program computed the head sum (XXH3-64 of bytes 0-47 and 56-63 and the table).
constexpr HeaderBytes kGolden = {
    0x57, 0x48, 0x52, 0x59,                          // magic "WHRY"
    0x02, 0x03, 0x06, 0x05,                          // version, type, flags
    0x08, 0x07, 0x00, 0x00,                          // channel, reserved
    0x14, 0x13, 0x12, 0x11,                          // epoch
    0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21,  // sequence
    0x34, 0x33, 0x32, 0x31,                          // pages
    0x10, 0x00, 0x00, 0x00,                          // table length
    0x00, 0x20, 0x00, 0x00,                          // body length
    0x48, 0x47, 0x46, 0x45,                          // aux
    0x34, 0x12, 0x00, 0x00,                          // pack length
    0x89, 0x67, 0x05, 0x00,                          // plain length
    0xb2, 0x54, 0x07, 0x7f, 0x16, 0xa2, 0xd9, 0x65,  // head sum
    0x58, 0x57, 0x56, 0x55, 0x54, 0x53, 0x52, 0x51,  // body sum
};

template <class... Parts>
void expect_refused(const HeaderBytes& bytes, const Parts&... why) {
  EXPECT_ERROR(decode_header(bytes), why...);
}

HeaderBytes with(size_t at, std::vector<uint8_t> bytes) {
  HeaderBytes changed = kGolden;
  std::copy(bytes.begin(), bytes.end(), changed.begin() + static_cast<ptrdiff_t>(at));
  return changed;
}

TEST(Frame, EncodesTheGoldenHeader) {
  EXPECT_EQ(encode_header(kHeader, golden_table()), kGolden);
}

TEST(Frame, DecodesTheGoldenHeader) {
  auto header = decode_header(kGolden);
  ASSERT_TRUE(header) << header.error().message;
  EXPECT_EQ(*header, kHeader);
  EXPECT_TRUE(check_head(kGolden, golden_table()));
}

TEST(Frame, RefusesWhatIsNoFrameOfThisVersion) {
  for (size_t at = 0; at < 4; ++at) expect_refused(with(at, {0}), "wrong magic");
  expect_refused(with(0, {'Q', 'E', 'V', 'M'}), "wrong magic");
  expect_refused(with(4, {1}), "version 1", "update Wherry there");
  expect_refused(with(4, {0}), "version 0", "update Wherry there");
  expect_refused(with(4, {3}), "version 3", "update Wherry here");
}

TEST(Frame, RefusesUnknownTypes) {
  const std::set<int> known = {1,  2,  3,  4,  5,  16, 17, 18, 19, 20, 21,
                               22, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33};
  for (int type = 0; type < 256; ++type) {
    const HeaderBytes bytes = with(5, {static_cast<uint8_t>(type)});
    if (known.contains(type)) {
      EXPECT_TRUE(decode_header(bytes)) << type;
    } else {
      expect_refused(bytes, "type " + std::to_string(type));
    }
  }
}

TEST(Frame, RefusesReservedBits) {
  for (size_t at : {10, 11}) {
    for (uint8_t bit : {0x01, 0x80}) expect_refused(with(at, {bit}), "reserved");
  }
}

TEST(Frame, RefusesLengthsOutOfBounds) {
  EXPECT_TRUE(decode_header(with(28, {0x00, 0x40, 0, 0})));
  expect_refused(with(28, {0x01, 0x40, 0, 0}), "table of 16385 bytes");
  expect_refused(with(28, {0xff, 0xff, 0xff, 0xff}), "table of 4294967295 bytes");
  EXPECT_TRUE(decode_header(with(32, {0x00, 0x00, 0x10, 0})));
  expect_refused(with(32, {0x01, 0x00, 0x10, 0}), "body of 1048577 bytes");
  expect_refused(with(32, {0xff, 0xff, 0xff, 0xff}), "body of 4294967295 bytes");
}

TEST(Frame, RefusesPacksOutOfBounds) {
  EXPECT_TRUE(decode_header(with(40, {0x00, 0x20, 0, 0}))) << "the whole body";
  expect_refused(with(40, {0x01, 0x20, 0, 0}), "a pack of 8193 bytes");
  expect_refused(with(40, {0xff, 0xff, 0xff, 0xff}), "a pack of 4294967295 bytes");
  EXPECT_TRUE(decode_header(with(44, {0x00, 0x00, 0x10, 0})));
  expect_refused(with(44, {0x01, 0x00, 0x10, 0}), "unpack to 1048577");
  expect_refused(with(44, {0xff, 0xff, 0xff, 0xff}), "unpack to 4294967295");
  EXPECT_TRUE(decode_header(with(40, {0, 0, 0, 0, 0, 0, 0, 0}))) << "no pack";
  expect_refused(with(40, {0, 0, 0, 0}), "a pack of 0 bytes that unpack to");
  expect_refused(with(44, {0, 0, 0, 0}), "that unpack to 0");
}

TEST(Frame, FindsEveryDamagedBitOfHeaderAndTable) {
  const std::vector<uint8_t> table = golden_table();
  for (size_t bit = 0; bit < 8 * kFrameHeaderBytes; ++bit) {
    HeaderBytes damaged = kGolden;
    damaged[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    EXPECT_FALSE(check_head(damaged, table)) << "bit " << bit;
  }
  for (size_t bit = 0; bit < 8 * table.size(); ++bit) {
    std::vector<uint8_t> damaged = table;
    damaged[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    EXPECT_ERROR(check_head(kGolden, damaged), "damaged") << "bit " << bit;
  }
  EXPECT_FALSE(check_head(kGolden, std::span(table).first(15)));
}

TEST(Checksum, IsXxh3OverThePiecesInOrder) {
  Checksum sum;
  EXPECT_EQ(sum.value(), 0x2d06800538d394c2u) << "XXH3-64 of nothing";
  const std::vector<uint8_t> bytes = {'w', 'h', 'a', 'r', 'f'};
  sum.add(std::span(bytes).first(2));
  sum.add({});
  sum.add(std::span(bytes).subspan(2));
  EXPECT_EQ(sum.value(), 0x01f3b69ea9992fefu);
  sum.add(bytes);
  EXPECT_NE(sum.value(), 0x01f3b69ea9992fefu);
  sum.reset();
  sum.add(bytes);
  EXPECT_EQ(sum.value(), 0x01f3b69ea9992fefu);
}

}  // namespace
}  // namespace wherry
