#include "transport/wire/frame_socket.h"

#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <thread>

#include "tests/base/expect_error.h"
#include "tests/transport/support.h"
#include "transport/socket/connect.h"
#include "transport/socket/listener.h"
#include "transport/socket/socket.h"

namespace wherry {
namespace {

using test::bytes_of;
using test::noise;
using test::text_of;

class FrameSocketTest : public testing::Test {
 protected:
  FrameSocketTest() {
    auto [a, b] = test::socket_pair();
    // One end sends frames or raw bytes, the other receives.
    raw_ = a.get();
    sender_.emplace(std::move(a), "the sender's peer");
    receiver_.emplace(std::move(b), "peer-x");
    receiver_->set_patience(test::kForever);
  }

  // What a frame looks like on the wire.
  static std::vector<uint8_t> wire(FrameHeader header, const std::vector<uint8_t>& table,
                                   const std::vector<uint8_t>& body) {
    auto [a, b] = test::socket_pair();
    FrameSocket socket(std::move(a), "");
    const std::span<const uint8_t> part = body;
    EXPECT_TRUE(socket.send(header, table, {&part, 1}));
    std::vector<uint8_t> bytes(kFrameHeaderBytes + table.size() + body.size());
    auto got = recv_all(b.get(), bytes);
    EXPECT_TRUE(got && *got);
    return bytes;
  }
  void send_raw(std::span<const uint8_t> bytes) { ASSERT_TRUE(send_all(raw_, bytes)); }
  void end_sending() { ::shutdown(raw_, SHUT_WR); }

  int raw_ = -1;
  std::optional<FrameSocket> sender_;
  std::optional<FrameSocket> receiver_;
  FrameHead head_;
};

const FrameHeader kRecord{.type = FrameType::record,
                          .flags = kEpochEnd | kSetupDone,
                          .channel = 7,
                          .epoch = 3,
                          .sequence = 1234567890123,
                          .pages = 5,
                          .table_length = 0,
                          .body_length = 0,
                          .aux = 9,
                          .body_sum = 0};

TEST_F(FrameSocketTest, CarriesAFrame) {
  ASSERT_TRUE(sender_->send(kRecord, bytes_of("some bytes")));
  EXPECT_EQ(sender_->bytes_sent(), 64u + 10u);
  auto more = receiver_->receive_head(head_);
  ASSERT_TRUE(more && *more);
  FrameHeader expected = kRecord;
  expected.body_length = 10;
  expected.body_sum = head_.header.body_sum;
  EXPECT_EQ(head_.header, expected);
  EXPECT_TRUE(head_.table.empty());
  auto body = receiver_->receive_body();
  ASSERT_TRUE(body);
  EXPECT_EQ(text_of(*body), "some bytes");
}

TEST_F(FrameSocketTest, CarriesFramesOfAnySizeAndPieces) {
  std::mt19937 random(11);
  struct Frame {
    std::vector<uint8_t> table, body;
  };
  std::vector<Frame> frames;
  for (uint32_t i = 0; i < 60; ++i) {
    Frame frame{noise(random() % 3 ? 16 * (random() % 64) : 0, i),
                noise(random() % 5 ? random() % 200000 : 0, 100 + i)};
    frames.push_back(std::move(frame));
  }
  frames.push_back({noise(kMaxTable, 1), noise(kMaxBody, 2)});
  std::thread sender([&] {
    std::mt19937 cut(12);
    for (const Frame& frame : frames) {
      std::vector<std::span<const uint8_t>> pieces;
      for (size_t at = 0; at < frame.body.size();) {
        const size_t length = std::min<size_t>(frame.body.size() - at, cut() % 9000);
        pieces.push_back(std::span(frame.body).subspan(at, length));
        at += length;
      }
      if (!sender_->send({.type = FrameType::batch}, frame.table, pieces)) return;
    }
    end_sending();
  });
  std::mt19937 cut(13);
  for (const Frame& frame : frames) {
    auto more = receiver_->receive_head(head_);
    ASSERT_TRUE(more && *more);
    EXPECT_EQ(head_.table, frame.table);
    ASSERT_EQ(head_.header.body_length, frame.body.size());
    std::vector<uint8_t> body(frame.body.size());
    std::vector<iovec> where;
    for (size_t at = 0; at < body.size();) {
      const size_t length = std::min<size_t>(body.size() - at, cut() % 5000);
      where.push_back({&body[at], length});
      at += length;
    }
    ASSERT_TRUE(receiver_->receive_body(where));
    EXPECT_EQ(body, frame.body);
  }
  auto more = receiver_->receive_head(head_);
  EXPECT_TRUE(more && !*more);
  sender.join();
}

TEST_F(FrameSocketTest, AnEndBetweenFramesIsALostConnection) {
  EXPECT_FALSE(receiver_->lost());
  ASSERT_TRUE(sender_->send(kRecord));
  ASSERT_TRUE(receiver_->receive_head(head_));
  EXPECT_FALSE(receiver_->lost());
  end_sending();
  ASSERT_TRUE(receiver_->receive_head(head_));
  EXPECT_TRUE(receiver_->lost());
}

TEST_F(FrameSocketTest, AnEndWithinAFrameIsALostConnection) {
  const auto frame = wire(kRecord, noise(16, 1), noise(100, 2));
  for (const size_t length : {size_t{20}, kFrameHeaderBytes, kFrameHeaderBytes + 7}) {
    auto [a, b] = test::socket_pair();
    FrameSocket receiver(std::move(b), "peer-x");
    ASSERT_TRUE(send_all(a.get(), std::span(frame).first(length)));
    a.reset();
    EXPECT_FALSE(receiver.receive_head(head_)) << length;
    EXPECT_TRUE(receiver.lost()) << length;
  }
  send_raw(std::span(frame).first(frame.size() - 1));
  end_sending();
  ASSERT_TRUE(receiver_->receive_head(head_));
  EXPECT_FALSE(receiver_->lost());
  EXPECT_FALSE(receiver_->receive_body());
  EXPECT_TRUE(receiver_->lost());
}

TEST_F(FrameSocketTest, DamageIsNoLostConnection) {
  auto frame = wire(kRecord, {}, noise(100, 2));
  frame.back() ^= 1;
  send_raw(frame);
  ASSERT_TRUE(receiver_->receive_head(head_));
  EXPECT_FALSE(receiver_->receive_body());
  EXPECT_FALSE(receiver_->lost());
  frame[20] ^= 1;
  send_raw(frame);
  EXPECT_FALSE(receiver_->receive_head(head_));
  EXPECT_FALSE(receiver_->lost());
}

TEST_F(FrameSocketTest, WaitsForItsEnd) {
  std::thread waiter([&] { EXPECT_ERROR(sender_->await_end(), "the sender's peer", "closed"); });
  receiver_->shut();
  waiter.join();
  std::thread another([&] { (void)receiver_->await_end(); });
  receiver_->shut();
  another.join();
}

// A connection that the other end has reset.
Fd reset_connection() {
  auto listener = Listener::open({.path = {}, .host = "127.0.0.1", .port = 0});
  if (!listener) return {};
  auto connection = connect_to(listener->where(), test::kForever, test::kForever);
  if (!connection) return {};
  auto peer = listener->accept(test::kForever);
  if (!peer) return {};
  const linger at_once{1, 0};
  setsockopt(peer->get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  return std::move(*connection);
}

// The kernel says "reset" once, and then "broken pipe".
TEST_F(FrameSocketTest, AFailureHasOneCauseWhoeverIsToldOfIt) {
  FrameSocket waited(reset_connection(), "peer-x");
  EXPECT_ERROR(waited.await_end(), "peer-x", "Connection reset by peer");
  EXPECT_ERROR(waited.send(kRecord), "sending to peer-x", "Connection reset by peer");
  EXPECT_ERROR(waited.send(kRecord), "sending to peer-x", "Connection reset by peer");

  FrameSocket sent(reset_connection(), "peer-x");
  EXPECT_ERROR(sent.send(kRecord), "sending to peer-x", "Connection reset by peer");
  EXPECT_ERROR(sent.await_end(), "peer-x", "Connection reset by peer");

  FrameSocket received(reset_connection(), "peer-x");
  EXPECT_ERROR(received.receive_head(head_), "receiving from peer-x", "Connection reset by peer");
  EXPECT_ERROR(received.send(kRecord), "sending to peer-x", "Connection reset by peer");
}

// More pieces than one system call takes.
TEST_F(FrameSocketTest, CarriesABodyOfVeryManyPieces) {
  const std::vector<uint8_t> body = noise(5000, 3);
  std::vector<std::span<const uint8_t>> pieces;
  for (size_t i = 0; i < body.size(); ++i) pieces.push_back(std::span(body).subspan(i, 1));
  std::thread sender([&] { EXPECT_TRUE(sender_->send({.type = FrameType::record}, {}, pieces)); });
  auto more = receiver_->receive_head(head_);
  ASSERT_TRUE(more && *more);
  std::vector<uint8_t> received(body.size());
  std::vector<iovec> where;
  for (uint8_t& byte : received) where.push_back({&byte, 1});
  EXPECT_TRUE(receiver_->receive_body(where));
  EXPECT_EQ(received, body);
  sender.join();
}

TEST_F(FrameSocketTest, NamesTheFrameWhoseBodyWasDamaged) {
  auto bytes = wire(kRecord, {}, noise(100000, 1));
  bytes[64 + 99999] ^= 1;
  std::thread sender([&] { send_raw(bytes); });
  auto more = receiver_->receive_head(head_);
  ASSERT_TRUE(more && *more) << "the head is valid";
  EXPECT_ERROR(receiver_->receive_body(), "peer-x", "damaged", "channel 7", "frame 1234567890123",
               "100000 bytes");
  sender.join();
}

TEST_F(FrameSocketTest, FindsADamagedHead) {
  auto bytes = wire(kRecord, noise(32, 1), {});
  bytes[20] ^= 1;
  send_raw(bytes);
  EXPECT_ERROR(receiver_->receive_head(head_), "peer-x", "header was damaged");
}

TEST_F(FrameSocketTest, FindsADamagedTable) {
  auto bytes = wire(kRecord, noise(32, 1), {});
  bytes[64 + 31] ^= 0x80;
  send_raw(bytes);
  EXPECT_ERROR(receiver_->receive_head(head_), "peer-x", "header was damaged");
}

TEST_F(FrameSocketTest, RefusesALengthOutOfBoundsBeforeItReceivesAny) {
  HeaderBytes bytes = encode_header({.type = FrameType::record}, {});
  bytes[31] = 0xff;  // table length
  send_raw(bytes);
  EXPECT_ERROR(receiver_->receive_head(head_), "a table of 4278190080 bytes");
}

TEST_F(FrameSocketTest, AnEndBetweenFramesIsOrderly) {
  ASSERT_TRUE(sender_->send(kRecord, bytes_of("x")));
  end_sending();
  auto more = receiver_->receive_head(head_);
  ASSERT_TRUE(more && *more);
  ASSERT_TRUE(receiver_->receive_body());
  more = receiver_->receive_head(head_);
  ASSERT_TRUE(more);
  EXPECT_FALSE(*more);
}

TEST_F(FrameSocketTest, AnEndInTheHeaderIsAnError) {
  const auto bytes = wire(kRecord, {}, {});
  send_raw(std::span(bytes).first(63));
  end_sending();
  EXPECT_ERROR(receiver_->receive_head(head_), "receiving from peer-x", "ended in the middle");
}

TEST_F(FrameSocketTest, AnEndAtOrInTheTableIsAnError) {
  const auto bytes = wire(kRecord, noise(32, 1), {});
  for (size_t length : {64, 65, 95}) {
    auto [a, b] = test::socket_pair();
    ASSERT_TRUE(send_all(a.get(), std::span(bytes).first(length)));
    a.reset();
    FrameSocket receiver(std::move(b), "peer-x");
    EXPECT_ERROR(receiver.receive_head(head_), "receiving from peer-x", "the connection ended");
  }
}

TEST_F(FrameSocketTest, AnEndAtOrInTheBodyIsAnError) {
  const auto bytes = wire(kRecord, {}, noise(1000, 1));
  for (size_t length : {64, 65, 1063}) {
    auto [a, b] = test::socket_pair();
    ASSERT_TRUE(send_all(a.get(), std::span(bytes).first(length)));
    a.reset();
    FrameSocket receiver(std::move(b), "peer-x");
    auto more = receiver.receive_head(head_);
    ASSERT_TRUE(more && *more);
    EXPECT_ERROR(receiver.receive_body(), "receiving from peer-x", "the connection ended");
  }
}

TEST_F(FrameSocketTest, ShutEndsAReceiveInAnotherThread) {
  test::Watchdog watchdog("a receive after shut()");
  std::thread receiving([&] {
    auto more = receiver_->receive_head(head_);
    EXPECT_TRUE(!more || !*more);
  });
  receiver_->shut();
  receiving.join();
}

TEST_F(FrameSocketTest, PatienceBoundsAReceive) {
  receiver_->set_patience(std::chrono::milliseconds(1));
  EXPECT_ERROR(receiver_->receive_head(head_), "receiving from peer-x", "no answer");
}

TEST_F(FrameSocketTest, SendingToAPeerThatIsGoneNamesIt) {
  receiver_.reset();
  EXPECT_ERROR(sender_->send(kRecord, bytes_of("x")), "sending to the sender's peer");
}

}  // namespace
}  // namespace wherry
