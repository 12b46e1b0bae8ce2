// Peers made by hand, for what a real Wherry never does.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "tests/compression/sample_secret.h"
#include "tests/transport/support.h"
#include "transport/socket/connect.h"
#include "transport/socket/endpoint.h"
#include "transport/socket/listener.h"
#include "transport/socket/socket.h"
#include "transport/wire/control.h"
#include "transport/wire/frame_socket.h"

namespace wherry::test {

// One frame with all of its body.
struct RawFrame {
  FrameHead head;
  std::vector<uint8_t> body;

  FrameType type() const { return head.header.type; }
  std::string text() const { return text_of(body); }
  nlohmann::json map() const { return nlohmann::json::from_cbor(body); }
};

// A connection that sends whatever the test tells it to.
class RawConnection {
 public:
  explicit RawConnection(const Endpoint& to) {
    auto fd = connect_to(to, kForever, kForever);
    if (!fd) {
      ADD_FAILURE() << fd.error().message;
      std::abort();
    }
    take(std::move(*fd));
  }
  explicit RawConnection(Fd fd) { take(std::move(fd)); }

  Result<> send(FrameHeader header, std::span<const uint8_t> body = {}) {
    return frames_->send(header, body);
  }
  Result<> send(FrameHeader header, std::span<const uint8_t> table, std::span<const uint8_t> body) {
    return frames_->send(header, table, {&body, 1});
  }
  Result<> send(FrameType type, const nlohmann::json& map) {
    return frames_->send({.type = type}, nlohmann::json::to_cbor(map));
  }
  Result<> send_bytes(std::span<const uint8_t> bytes) { return send_all(frames_->fd(), bytes); }
  // The next frame. Fails at the end of the stream.
  Result<RawFrame> receive() {
    RawFrame frame;
    auto more = frames_->receive_head(frame.head);
    if (!more) return pass_on(more);
    if (!*more) return fail("the connection ended");
    auto body = frames_->receive_body();
    if (!body) return pass_on(body);
    frame.body = std::move(*body);
    return frame;
  }
  // Skips acknowledgements and the like.
  Result<RawFrame> receive(FrameType type) {
    for (;;) {
      auto frame = receive();
      if (!frame || frame->type() == type) return frame;
    }
  }
  // Why it was refused; nothing: it was not.
  std::optional<Error> refusal() {
    auto frame = receive(FrameType::refuse);
    if (!frame) return std::nullopt;
    return Error{frame->text()};
  }
  int fd() const { return frames_->fd(); }
  void shut() { frames_->shut(); }
  void end_sending() { ::shutdown(frames_->fd(), SHUT_WR); }

 private:
  void take(Fd fd) {
    frames_ = std::make_unique<FrameSocket>(std::move(fd), "the other side");
    frames_->set_patience(kForever);
  }

  std::unique_ptr<FrameSocket> frames_;
};

inline nlohmann::json valid_hello(uint32_t lanes) {
  return {{"lanes", lanes},   {"most_in_flight", 1u << 27}, {"wishes", nlohmann::json::object()},
          {"silence_s", 30u}, {"secret", kSampleSecret},    {"requires", nlohmann::json::array()}};
}

// A source: a control connection and lanes that have got their welcome.
class RawSource {
 public:
  RawSource(const Endpoint& to, uint32_t lanes) : control(to) {
    EXPECT_TRUE(control.send(FrameType::hello, valid_hello(lanes)));
    auto welcome = control.receive();
    if (!welcome || welcome->type() != FrameType::welcome) {
      ADD_FAILURE() << "no welcome: " << (welcome ? welcome->text() : welcome.error().message);
      return;
    }
    token = welcome->map().value("token", "");
    for (uint32_t i = 0; i < lanes; ++i) {
      this->lanes.emplace_back(to);
      EXPECT_TRUE(this->lanes.back().send(FrameType::lane_hello, {{"token", token}, {"lane", i}}));
      auto answer = this->lanes.back().receive();
      EXPECT_TRUE(answer && answer->type() == FrameType::welcome);
    }
  }

  RawConnection control;
  std::string token;
  std::vector<RawConnection> lanes;
};

// A destination: accepts a control connection and as many lanes as it is asked for.
class RawDestination {
 public:
  RawDestination() : listener(Listener::open({.path = {}, .host = "127.0.0.1", .port = 0})) {}

  Endpoint where() const { return listener->where(); }
  RawConnection accept() {
    auto fd = listener->accept(kForever);
    if (!fd) {
      ADD_FAILURE() << fd.error().message;
      std::abort();
    }
    return RawConnection(std::move(*fd));
  }
  // Runs in a thread while another runs SourceSession::connect().
  void welcome() {
    control = std::make_unique<RawConnection>(accept());
    auto got = control->receive();
    if (!got) return ADD_FAILURE() << got.error().message, void();
    hello = got->map();
    EXPECT_TRUE(control->send(FrameType::welcome, {{"token", "the token"}}));
    await_lanes();
    for (RawConnection& lane : lanes) EXPECT_TRUE(lane.send(FrameType::welcome, nlohmann::json::object()));
  }
  // No lane waits for the welcome of another.
  void await_lanes() {
    std::map<uint32_t, std::pair<RawConnection, nlohmann::json>> came;
    while (came.size() < hello.value("lanes", 0u)) {
      RawConnection lane = accept();
      auto said = lane.receive();
      if (!said) return ADD_FAILURE() << said.error().message, void();
      came.emplace(said->map().value("lane", 0u), std::pair(std::move(lane), said->map()));
    }
    for (auto& [number, lane] : came) {
      lanes.push_back(std::move(lane.first));
      lane_hellos.push_back(std::move(lane.second));
    }
  }

  Result<Listener> listener;
  std::unique_ptr<RawConnection> control;
  std::vector<RawConnection> lanes;
  nlohmann::json hello;
  std::vector<nlohmann::json> lane_hellos;
};

}  // namespace wherry::test
