#include "qemu-glue/stream/return_path.h"

#include <gtest/gtest.h>

#include "tests/qemu-glue/stream/support.h"

namespace wherry::qemu {
namespace {

using test::Bytes;
using test::ByteVector;

Bytes message(uint16_t type, const ByteVector& payload) {
  return Bytes().u16(type).u16(static_cast<uint16_t>(payload.size())).add(payload);
}
Bytes pong(uint32_t value) {
  return message(kRpPong, Bytes().u32(value));
}
Bytes shut(uint32_t value) {
  return message(kRpShut, Bytes().u32(value));
}
Bytes bitmap(uint64_t size) {
  return Bytes()
      .add(message(kRpRecvBitmap, Bytes().text("pc.ram")))
      .u64(size)
      .fill(size, 2)
      .u64(0x0123456789abcdef);
}

// Splits the bytes at every place in turn.
void expect_passed(const ByteVector& in, const ByteVector& out, bool ponged, std::optional<uint32_t> shut) {
  for (size_t split = 0; split <= in.size(); ++split) {
    ReturnPath path;
    ByteVector got;
    path.feed(std::span(in).first(split), got);
    path.feed(std::span(in).subspan(split), got);
    ASSERT_EQ(got, out) << split;
    ASSERT_EQ(path.ponged(), ponged) << split;
    ASSERT_EQ(path.shut(), shut) << split;
  }
}

TEST(ReturnPath, PassesMessagesOn) {
  const ByteVector all = Bytes()
                             .add(pong(1))
                             .add(message(3, Bytes().u64(4096).u32(4096).text("pc.ram")))
                             .add(message(4, Bytes().u64(8192).u32(4096)))
                             .add(message(7, {}))
                             .add(message(99, ByteVector(300, 'x')));
  expect_passed(all, all, false, std::nullopt);
}

TEST(ReturnPath, SwallowsThePongToItsOwnPing) {
  expect_passed(Bytes().add(pong(1)).add(pong(kOwnPing)).add(pong(0x42)).add(shut(0)),
                Bytes().add(pong(1)).add(pong(0x42)).add(shut(0)), true, 0);
}

TEST(ReturnPath, NotesHowTheDestinationEnds) {
  expect_passed(shut(1), shut(1), false, 1);
  // A message of type SHUT with another length is not a SHUT.
  expect_passed(message(kRpShut, {}), message(kRpShut, {}), false, std::nullopt);
}

// The bytes of a bitmap are not read as messages, even if they look like one.
TEST(ReturnPath, StepsOverBitmaps) {
  for (uint64_t size : {0, 8, 264}) {
    const ByteVector all = Bytes().add(bitmap(size)).add(bitmap(8)).add(shut(0));
    expect_passed(all, all, false, 0);
  }
  const ByteVector like_a_pong = Bytes()
                                     .add(message(kRpRecvBitmap, Bytes().text("a")))
                                     .u64(8)
                                     .add(pong(kOwnPing))
                                     .u64(0x0123456789abcdef);
  expect_passed(like_a_pong, like_a_pong, false, std::nullopt);
}

TEST(ReturnPath, HoldsBackTheBeginningOfAMessage) {
  ReturnPath path;
  ByteVector got;
  path.feed(std::span(pong(1).get()).first(7), got);
  EXPECT_TRUE(got.empty());
}

TEST(ReturnPath, PassesCapturesOn) {
  for (const std::string& name :
       test::captures([](const auto& made) { return made["return_path"] == true; })) {
    const ByteVector back = test::Capture(name).connections[0].back;
    expect_passed(back, back, false, 0);
  }
}

}  // namespace
}  // namespace wherry::qemu
