#include "transport/wire/control.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/base/expect_error.h"
#include "tests/transport/support.h"

namespace wherry {
namespace {

using nlohmann::json;
using test::bytes_of;

TEST(ReadMap, ReadsAMap) {
  const json map = {{"lanes", 4}, {"requires", json::array({"a"})}, {"deeper", {{"x", {{"y", 1}}}}}};
  auto read = read_map(json::to_cbor(map), "peer-x");
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, map);
}

TEST(ReadMap, RefusesWhatIsNoMap) {
  for (const json& other : {json(4), json("text"), json::array({json::object()}), json(nullptr), json(1.5)}) {
    EXPECT_ERROR(read_map(json::to_cbor(other), "peer-x"), "peer-x", "not a CBOR map");
  }
}

TEST(ReadMap, RefusesWhatIsNoSoundCbor) {
  const auto valid = json::to_cbor(json{{"lanes", 4}, {"token", "abc"}});
  for (size_t length = 0; length < valid.size(); ++length) {
    EXPECT_ERROR(read_map(std::span(valid).first(length), "peer-x"), "peer-x", "not valid CBOR");
  }
  auto longer = valid;
  longer.push_back(0);
  EXPECT_ERROR(read_map(longer, "peer-x"), "not valid CBOR");
  EXPECT_ERROR(read_map(test::noise(1000, 1), "peer-x"), "CBOR");
}

TEST(ReadMap, RefusesKeysThatAreNoText) {
  EXPECT_ERROR(read_map(std::vector<uint8_t>{0xa1, 0x01, 0x01}, "peer-x"), "CBOR");
}

TEST(ReadMap, RefusesLengthsBeyondTheMessage) {
  for (uint8_t head : {0x5b, 0x7b, 0x9b, 0xbb}) {  // bytes, text, array, map with a length of 64 bits
    for (uint8_t byte : {0x7f, 0xff, 0x10}) {
      std::vector<uint8_t> bomb = {0xa1, 0x61, 'x', head};
      bomb.insert(bomb.end(), 8, byte);
      EXPECT_ERROR(read_map(bomb, "peer-x"), "not valid CBOR");
    }
  }
}

// The reader recurses, and a message must not decide how deeply.
TEST(ReadMap, RefusesDepthBombs) {
  for (uint8_t head : {0x81, 0x9f}) {  // arrays in arrays
    EXPECT_ERROR(read_map(std::vector<uint8_t>(kMaxBody, head), "peer-x"), "not valid CBOR");
  }
  std::vector<uint8_t> maps;
  while (maps.size() < kMaxBody) maps.insert(maps.end(), {0xa1, 0x61, 'x'});
  EXPECT_ERROR(read_map(maps, "peer-x"), "not valid CBOR");
  json deep = json::object();
  for (int i = 0; i < 7; ++i) deep = {{"x", deep}};
  EXPECT_TRUE(read_map(json::to_cbor(deep), "peer-x")) << "eight levels are fine";
  EXPECT_ERROR(read_map(json::to_cbor(json{{"x", deep}}), "peer-x"), "not valid CBOR");
}

// Text and bytes of indefinite length consist of pieces. The reader accepts pieces that are such text again,
// so it recurses there too.
TEST(ReadMap, RefusesDepthBombsOfTextAndBytes) {
  for (uint8_t head : {0x7f, 0x5f}) {
    std::vector<uint8_t> bomb(kMaxBody, head);
    EXPECT_ERROR(read_map(bomb, "peer-x"), "not valid CBOR");
    bomb[0] = 0xbf;
    EXPECT_ERROR(read_map(bomb, "peer-x"), "not valid CBOR");
    bomb[0] = 0xa1;
    bomb[1] = 0x61;
    EXPECT_ERROR(read_map(bomb, "peer-x"), "not valid CBOR");
  }
}

TEST(ReadMap, RefusesTags) {
  EXPECT_ERROR(read_map(std::vector<uint8_t>{0xa1, 0x61, 'x', 0xc1, 0x01}, "peer-x"), "CBOR");
}

TEST(Member, TakesOnlyTheRightType) {
  const json map = {
      {"number", 7u}, {"negative", -7}, {"real", 7.0}, {"text", "seven"}, {"large", uint64_t{1} << 40}};
  EXPECT_EQ(*member<uint32_t>(map, "number"), 7u);
  EXPECT_EQ(*member<uint64_t>(map, "large"), uint64_t{1} << 40);
  EXPECT_EQ(*member<std::string>(map, "text"), "seven");
  for (const char* key : {"negative", "real", "text", "absent"}) {
    EXPECT_ERROR(member<uint32_t>(map, key), std::string("no valid \"") + key);
  }
  EXPECT_ERROR(member<std::string>(map, "number"), "no valid \"number\"");
}

TEST(Member, DoesNotCutANumberToSize) {
  const json map = {{"large", (uint64_t{1} << 32) + 1}};
  EXPECT_ERROR(member<uint32_t>(map, "large"), "no valid \"large\"");
}

TEST(Numbers, ReadsAList) {
  const json map = {{"blocks", {0u, 7u, 65535u}}, {"none", json::array()}};
  EXPECT_EQ(*numbers<uint16_t>(map, "blocks"), (std::vector<uint16_t>{0, 7, 65535}));
  EXPECT_EQ(*numbers<uint64_t>(map, "blocks"), (std::vector<uint64_t>{0, 7, 65535}));
  EXPECT_EQ(*numbers<uint16_t>(map, "none"), std::vector<uint16_t>());
}

TEST(Numbers, TakesOnlyAListOfTheRightType) {
  const json map = {{"number", 7u}, {"text", "7"}, {"map", {{"0", 7u}}}, {"nothing", nullptr}};
  for (const char* key : {"number", "text", "map", "nothing", "absent"}) {
    EXPECT_ERROR(numbers<uint16_t>(map, key), std::string("no list \"") + key);
  }
  for (const json& item : {json(-1), json(1.5), json("1"), json(nullptr), json(true), json::array({1u}),
                           json(65536u), json((uint64_t{1} << 32) + 1)}) {
    EXPECT_ERROR(numbers<uint16_t>(json{{"blocks", {1u, item}}}, "blocks"), "invalid number", "\"blocks\"");
  }
}

TEST(PeerText, IsBoundedAndPrintable) {
  EXPECT_EQ(peer_text(bytes_of("a\nb\x1b[31mc")), "a\\nb\\x1b[31mc");
  EXPECT_EQ(peer_text(bytes_of(std::string(5000, 'x'))).size(), 1000u);
  EXPECT_EQ(peer_text(std::vector<uint8_t>{}), "");
  const json map = {{"detail", "a\nb"}, {"number", 7u}};
  EXPECT_EQ(peer_text(map, "detail").value_or(""), "a\\nb");
  EXPECT_ERROR(peer_text(map, "number"), "\"number\"");
}

// The text ends up in the JSON report, which has to be UTF-8. 0x9b alone is a control character of terminals.
TEST(PeerText, CanBePrintedWhateverThePeerSends) {
  std::vector<uint8_t> all;
  for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<uint8_t>(byte));
  EXPECT_NO_THROW((void)json(peer_text(all)).dump());
  EXPECT_EQ(peer_text(std::vector<uint8_t>{0x9b}).find('\x9b'), std::string::npos);
  std::string cut(999, 'x');
  cut += "\xc3\xa9";  // a letter of two bytes across the bound
  EXPECT_NO_THROW((void)json(peer_text(bytes_of(cut))).dump());
}

class ControlTest : public testing::Test {
 protected:
  ControlTest() {
    auto [a, b] = test::socket_pair();
    control_ = std::make_unique<Control>(std::make_unique<FrameSocket>(std::move(a), "peer-x"));
    other_ = std::make_unique<Control>(std::make_unique<FrameSocket>(std::move(b), "peer-y"));
  }
  std::unique_ptr<Control> control_;
  std::unique_ptr<Control> other_;
  FrameHead head_;
  std::vector<uint8_t> body_;
};

TEST_F(ControlTest, CarriesFramesMapsAndAcknowledgements) {
  const json map = {{"a", 1}};
  ASSERT_TRUE(control_->send({.type = FrameType::reverse, .channel = 3}, bytes_of("back")));
  ASSERT_TRUE(control_->send(FrameType::done, map));
  ASSERT_TRUE(control_->acknowledge(9, 12345));
  EXPECT_EQ(control_->peer(), "peer-x");

  ASSERT_TRUE(*other_->receive(head_, body_));
  EXPECT_EQ(head_.header.type, FrameType::reverse);
  EXPECT_EQ(head_.header.channel, 3);
  EXPECT_EQ(test::text_of(body_), "back");
  ASSERT_TRUE(*other_->receive(head_, body_));
  EXPECT_EQ(head_.header.type, FrameType::done);
  EXPECT_EQ(*read_map(body_, ""), map);
  ASSERT_TRUE(*other_->receive(head_, body_));
  EXPECT_EQ(head_.header.type, FrameType::ack);
  EXPECT_EQ(head_.header.channel, 9);
  EXPECT_EQ(head_.header.sequence, 12345u);
  EXPECT_TRUE(body_.empty());
}

TEST_F(ControlTest, ManyThreadsMaySend) {
  std::vector<std::thread> threads;
  for (uint16_t channel = 0; channel < 4; ++channel) {
    threads.emplace_back([&, channel] {
      for (uint32_t i = 0; i < 200; ++i) {
        EXPECT_TRUE(control_->send({.type = FrameType::reverse, .channel = channel, .sequence = i},
                                   test::noise(i, channel * 1000 + i)));
      }
    });
  }
  std::vector<uint32_t> next(4);
  for (int i = 0; i < 800; ++i) {
    auto more = other_->receive(head_, body_);
    ASSERT_TRUE(more && *more);
    const uint16_t channel = head_.header.channel;
    EXPECT_EQ(head_.header.sequence, next[channel]);
    EXPECT_EQ(body_, test::noise(next[channel], channel * 1000 + next[channel]));
    ++next[channel];
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(ControlTest, GivingUpTellsWhyAndEndsTheConnection) {
  control_->give_up("out of paper", 0);
  ASSERT_TRUE(*other_->receive(head_, body_));
  EXPECT_EQ(head_.header.type, FrameType::failed);
  EXPECT_EQ(test::text_of(body_), "out of paper");
  auto more = other_->receive(head_, body_);
  EXPECT_TRUE(more && !*more);
  EXPECT_FALSE(control_->acknowledge(0, 0));
}

// The peer reads nothing and the connection is full.
TEST_F(ControlTest, GivingUpDoesNotWait) {
  test::Watchdog watchdog("give_up() to a peer that does not read");
  std::thread sender([&] {
    while (control_->send({.type = FrameType::reverse}, test::noise(100000, 1))) {
    }
  });
  uint64_t before = 0;
  do {  // until the sender is stuck
    before = control_->bytes_sent();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  } while (before == 0 || control_->bytes_sent() != before);
  control_->give_up("out of paper", 0);
  sender.join();
}

// The thread waits for a peer that sends nothing and does not end its side.
TEST_F(ControlTest, JoiningAfterGivingUpEndsByItself) {
  test::Watchdog watchdog("join() with a silent peer");
  bool ended = false;
  control_->start([&] {
    FrameHead head;
    std::vector<uint8_t> body;
    auto more = control_->receive(head, body);
    ended = !more || !*more;
  });
  EXPECT_TRUE(control_->running());
  control_->give_up("out of paper", 0);
  control_->join();
  EXPECT_TRUE(ended);
  EXPECT_FALSE(control_->running());
}

// What the peer sent before it learned of the end is still received.
TEST_F(ControlTest, GivingUpLeavesThePeersSideOpen) {
  test::Watchdog watchdog("the peer's last frame");
  uint64_t sequence = 0;
  control_->start([&] {
    FrameHead head;
    std::vector<uint8_t> body;
    while (auto more = control_->receive(head, body)) {
      if (!*more) break;
      sequence = head.header.sequence;
    }
  });
  control_->give_up("out of paper", 0);
  EXPECT_TRUE(other_->acknowledge(1, 517));
  other_.reset();
  control_->join();
  EXPECT_EQ(sequence, 517u);
}

TEST_F(ControlTest, RoundTripOfNoTcpConnectionIsNothing) {
  EXPECT_EQ(control_->round_trip().count(), 0);
}

}  // namespace
}  // namespace wherry
