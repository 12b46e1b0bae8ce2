#include "transport/wire/first_frame.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "base/wait_ready.h"
#include "tests/base/expect_error.h"
#include "tests/transport/support.h"
#include "transport/socket/connect.h"
#include "transport/socket/listener.h"
#include "transport/socket/socket.h"
#include "transport/wire/frame_socket.h"

namespace wherry {
namespace {

using std::chrono::milliseconds;

class FirstFrameTest : public testing::Test {
 protected:
  FirstFrameTest() {
    auto listener = Listener::open({.path = {}, .host = "127.0.0.1", .port = 0});
    auto fd = connect_to(listener->where(), test::kForever, test::kForever);
    peer_ = std::make_unique<FrameSocket>(std::move(*fd), "here");
    ours_ = std::move(*listener->accept(test::kForever));
  }
  Result<FirstFrame> peek(milliseconds patience = test::kForever) {
    return peek_first_frame(ours_.get(), "the peer", patience);
  }
  void expect_error(const std::string& why, milliseconds patience = test::kForever) {
    EXPECT_ERROR(peek(patience), "the peer", why);
  }
  void send_bytes(std::span<const uint8_t> bytes) { ASSERT_TRUE(send_all(peer_->fd(), bytes)); }

  test::Watchdog watchdog_{"a first frame"};
  std::unique_ptr<FrameSocket> peer_;
  Fd ours_;
};

TEST_F(FirstFrameTest, IsSeenAndStaysWhereItIs) {
  const auto body = nlohmann::json::to_cbor({{"route", "hostb/1"}});
  ASSERT_TRUE(peer_->send({.type = FrameType::hello}, body));
  ASSERT_TRUE(peer_->send({.type = FrameType::open}));
  for (int i = 0; i < 2; ++i) {
    auto seen = peek();
    ASSERT_TRUE(seen) << seen.error().message;
    EXPECT_EQ(seen->type, FrameType::hello);
    EXPECT_EQ(seen->body, (nlohmann::json{{"route", "hostb/1"}}));
  }
  FrameSocket socket(std::move(ours_), "the peer");
  FrameHead head;
  ASSERT_TRUE(socket.receive_head(head));
  EXPECT_EQ(head.header.type, FrameType::hello);
  EXPECT_EQ(socket.receive_body().value(), body);
  ASSERT_TRUE(socket.receive_head(head));
  EXPECT_EQ(head.header.type, FrameType::open);
}

TEST_F(FirstFrameTest, IsLookedForWithoutWaiting) {
  auto [caller, door] = test::socket_pair();
  FrameSocket socket(std::move(caller), "");
  ASSERT_TRUE(socket.send({.type = FrameType::service}, nlohmann::json::to_cbor({{"service", "alive"}})));
  std::vector<uint8_t> bytes(kFrameHeaderBytes + 15);
  ASSERT_TRUE(recv_all(door.get(), bytes));
  for (size_t sent = 0; sent < bytes.size(); ++sent) {
    auto seen = look_for_first_frame(ours_.get(), "the peer");
    ASSERT_TRUE(seen) << seen.error().message;
    EXPECT_FALSE(*seen) << sent;
    send_bytes(std::span(bytes).subspan(sent, 1));
  }
  pollfd ready{ours_.get(), POLLIN, 0};
  ASSERT_TRUE(wait_ready({&ready, 1}));
  auto seen = look_for_first_frame(ours_.get(), "the peer");
  ASSERT_TRUE(seen) << seen.error().message;
  ASSERT_TRUE(*seen);
  EXPECT_EQ((*seen)->body, (nlohmann::json{{"service", "alive"}}));
}

TEST_F(FirstFrameTest, WakesNobodyBeforeMoreOfItCanBeTold) {
  ASSERT_FALSE(*look_for_first_frame(ours_.get(), "the peer"));
  send_bytes(std::vector<uint8_t>(kFrameHeaderBytes - 1));
  pollfd ready{ours_.get(), POLLIN, 0};
  EXPECT_FALSE(*wait_ready({&ready, 1}, std::chrono::steady_clock::now() + milliseconds(20)));
  send_bytes(std::vector<uint8_t>(1));
  EXPECT_TRUE(*wait_ready({&ready, 1}));
}

TEST_F(FirstFrameTest, MayComeInPieces) {
  const auto body = nlohmann::json::to_cbor({{"route", "hostb/1"}});
  FrameHeader header{.type = FrameType::lane_hello, .body_length = static_cast<uint32_t>(body.size())};
  Checksum sum;
  sum.add(body);
  header.body_sum = sum.value();
  const HeaderBytes head = encode_header(header, {});
  std::thread sending([&] {
    for (const uint8_t& byte : head) send_bytes({&byte, 1});
    for (const uint8_t& byte : body) send_bytes({&byte, 1});
  });
  auto seen = peek();
  sending.join();
  ASSERT_TRUE(seen) << seen.error().message;
  EXPECT_EQ(seen->type, FrameType::lane_hello);
}

TEST_F(FirstFrameTest, SilenceIsAnError) {
  expect_error("did not send a first frame in time", milliseconds(10));
  send_bytes(test::bytes_of("WHRY"));
  expect_error("did not send a first frame in time", milliseconds(10));
}

TEST_F(FirstFrameTest, AnEarlyEndIsAnError) {
  send_bytes(test::bytes_of("WHRY"));
  peer_->shut();
  expect_error("ended in the middle");
}

TEST_F(FirstFrameTest, WhatIsNoFrameIsAnError) {
  send_bytes(std::vector<uint8_t>(100, 'x'));
  expect_error("wrong magic");
}

TEST_F(FirstFrameTest, ADamagedBodyIsAnError) {
  const auto body = nlohmann::json::to_cbor({{"route", "hostb/1"}});
  const HeaderBytes head = encode_header(
      {.type = FrameType::hello, .body_length = static_cast<uint32_t>(body.size()), .body_sum = 1}, {});
  send_bytes(head);
  send_bytes(body);
  expect_error("damaged");
}

TEST_F(FirstFrameTest, ABodyThatNoConnectionBeginsWithIsAnError) {
  send_bytes(encode_header({.type = FrameType::hello, .body_length = 1 << 20}, {}));
  expect_error("does not begin with this frame");
}

TEST_F(FirstFrameTest, ABodyThatIsNoMapIsAnError) {
  ASSERT_TRUE(peer_->send({.type = FrameType::hello}, test::bytes_of("hm?!")));
  expect_error("CBOR");
}

// The kernel's text for the timeout, "Resource temporarily unavailable", would help nobody.
TEST_F(FirstFrameTest, AWelcomeThatDoesNotComeIsMissedByWhomAndForHowLong) {
  peer_->set_patience(milliseconds(200));
  EXPECT_ERROR(read_welcome(*peer_), "from here", "no answer within 0.2 s", "is it a Wherry");
  ours_.reset();
  EXPECT_ERROR(read_welcome(*peer_), "here closed", "without an answer", "is it a Wherry");
}

}  // namespace
}  // namespace wherry
