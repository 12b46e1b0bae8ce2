#include "qemu-glue/gateway/message_splitter.h"

#include "tests/qemu-glue/gateway/support.h"

namespace wherry::libvirt {
namespace {

using namespace test;

constexpr uint32_t kWanted = 303;

// What the splitter handed out: wanted messages, and all bytes in order.
struct Taken {
  std::vector<Bytes> whole;
  Bytes all;
};

class SplitterOf303 : public MessageSplitter {
 public:
  SplitterOf303()
      : MessageSplitter([](const MessageHeader& header) { return header.procedure == kWanted; }) {}

  void feed(std::span<const uint8_t> bytes) {
    while (const auto piece = next(bytes)) {
      put_bytes(taken.all, piece->bytes);
      if (piece->whole) taken.whole.emplace_back(piece->bytes.begin(), piece->bytes.end());
    }
    EXPECT_TRUE(bytes.empty());
  }
  Taken taken;
};

Bytes stream(size_t length) {
  return message(header(208, MessageType::stream, 3, MessageStatus::more), Bytes(length, 0xee));
}

// Splits the bytes at every place in turn.
void expect_split(const Bytes& bytes, const std::vector<Bytes>& whole, bool opaque) {
  for (size_t split = 0; split <= bytes.size(); ++split) {
    SplitterOf303 splitter;
    splitter.feed(std::span(bytes).first(split));
    splitter.feed(std::span(bytes).subspan(split));
    ASSERT_EQ(splitter.taken.all, bytes) << split;
    ASSERT_EQ(splitter.taken.whole, whole) << split;
    ASSERT_EQ(splitter.opaque(), opaque) << split;
    ASSERT_EQ(splitter.between_messages(), !opaque) << split;
  }
}

TEST(MessageSplitter, HandsOutWantedMessagesWhole) {
  const Bytes first = call(kWanted, Bytes(300, 1), 1);
  const Bytes second = call(kWanted, {}, 2);
  expect_split(joined({call(1, Bytes(8)), first, stream(100), second, second, call(2)}),
               {first, second, second}, false);
}

TEST(MessageSplitter, LetsTheRestThroughAtOnce) {
  SplitterOf303 splitter;
  const Bytes large = stream(1000);
  splitter.feed(std::span(large).first(kHeadBytes - 1));
  EXPECT_EQ(splitter.taken.all.size(), 0u);
  EXPECT_TRUE(splitter.between_messages());
  splitter.feed(std::span(large).subspan(kHeadBytes - 1, 1));
  EXPECT_EQ(splitter.taken.all.size(), kHeadBytes);
  EXPECT_FALSE(splitter.between_messages());
  splitter.feed(std::span(large).subspan(kHeadBytes, 1));
  EXPECT_EQ(splitter.taken.all.size(), kHeadBytes + 1);
}

TEST(MessageSplitter, WaitsForAWantedMessage) {
  SplitterOf303 splitter;
  const Bytes wanted = call(kWanted, Bytes(1000));
  splitter.feed(std::span(wanted).first(wanted.size() - 1));
  EXPECT_EQ(splitter.taken.all.size(), 0u);
  EXPECT_TRUE(splitter.between_messages());
}

// Each descriptor comes with one byte after the message.
TEST(MessageSplitter, KnowsTheBytesOfDescriptors) {
  const Bytes wanted = call(kWanted, Bytes(4));
  const Bytes none = message(header(5, MessageType::call_with_fds), Xdr().u32(0));
  const Bytes two = message(header(5, MessageType::call_with_fds), Xdr().u32(2).string("payload"));
  const Bytes most = message(header(5, MessageType::reply_with_fds), Xdr().u32(32));
  expect_split(joined({none, wanted, two, Bytes(2), wanted, most, Bytes(32), wanted}),
               {wanted, wanted, wanted}, false);
}

TEST(MessageSplitter, TakesTheLongestMessage) {
  SplitterOf303 splitter;
  Bytes head = call(5);
  put_u32(head, 0);
  head[0] = 2;
  head[3] = 4;  // 32 MiB and 4
  splitter.feed(head);
  EXPECT_FALSE(splitter.opaque());
}

TEST(MessageSplitter, IsOpaqueFromWhatIsNoRpc) {
  const Bytes wanted = call(kWanted, Bytes(4));
  const auto with_length = [](uint32_t length) {
    Bytes bytes = call(kWanted, Bytes(40));
    for (int i = 0; i < 4; ++i) bytes[static_cast<size_t>(i)] = static_cast<uint8_t>(length >> (24 - 8 * i));
    return bytes;
  };
  for (const Bytes& strange : {
           Bytes{0x16, 0x03, 0x01, 0x02, 0x00, 0x01},  // TLS
           with_length(0),
           with_length(3),
           with_length(kHeadBytes - 1),
           with_length(static_cast<uint32_t>(kLongestMessage) + 1),
           with_length(UINT32_MAX),
           message(header(kWanted, static_cast<MessageType>(6)), Bytes(8)),
           message(header(kWanted, MessageType::call, 1, static_cast<MessageStatus>(3)), Bytes(8)),
           message(header(kWanted, MessageType::call_with_fds)),                 // does not say how many
           message(header(kWanted, MessageType::call_with_fds), Xdr().u32(33)),  // more than there can be
           message(header(5, MessageType::reply_with_fds), Xdr().u32(UINT32_MAX)),
       }) {
    expect_split(joined({wanted, stream(9), strange, wanted, wanted}), {wanted}, true);
  }
}

// A client with another protocol may wait for an answer to its first few bytes.
TEST(MessageSplitter, DoesNotHoldBackWhatIsNoRpc) {
  SplitterOf303 splitter;
  const Bytes hello{'S', 'S', 'H', '-'};
  splitter.feed(hello);
  EXPECT_EQ(splitter.taken.all, hello);
}

TEST(MessageSplitter, GivesUpWhatItHolds) {
  SplitterOf303 splitter;
  const Bytes wanted = call(kWanted, Bytes(1000));
  splitter.feed(std::span(wanted).first(500));
  EXPECT_EQ(splitter.give_up(), Bytes(wanted.begin(), wanted.begin() + 500));
  EXPECT_EQ(splitter.give_up(), Bytes());
  splitter.feed(std::span(wanted).subspan(500));
  EXPECT_EQ(splitter.taken.all, Bytes(wanted.begin() + 500, wanted.end()));
  EXPECT_TRUE(splitter.taken.whole.empty());
}

TEST(MessageSplitter, GivesNothingUpTwice) {
  SplitterOf303 splitter;
  splitter.feed(call(kWanted));
  EXPECT_EQ(splitter.give_up(), Bytes());
}

}  // namespace
}  // namespace wherry::libvirt
