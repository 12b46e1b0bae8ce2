// Lanes over a TCP connection: frames one after the other, in one direction.
#pragma once

#include <memory>

#include "transport/lane/lane.h"
#include "transport/socket/socket.h"
#include "transport/wire/frame_socket.h"

namespace wherry {

class TcpLaneSender : public LaneSender {
 public:
  explicit TcpLaneSender(std::unique_ptr<FrameSocket> socket) : socket_(std::move(socket)) {}
  // The kernel reads any memory.
  Result<> attach(std::span<uint8_t>) override { return {}; }
  Result<> post(FrameHeader header, std::span<const uint8_t> table,
                std::span<const std::span<const uint8_t>> body) override {
    return socket_->send(header, table, body);
  }
  // post() returns when the kernel has its copy.
  Result<> complete() override { return {}; }
  void shut() override { socket_->shut(); }
  Error await_end() override { return socket_->await_end(); }
  uint64_t bytes_sent() const override { return socket_->bytes_sent(); }
  uint64_t bytes_waiting() const override { return unsent_bytes(socket_->fd()); }
  uint64_t bytes_on_way() const override { return unacknowledged_bytes(socket_->fd()); }
  std::string peer() const override { return socket_->peer(); }

 private:
  std::unique_ptr<FrameSocket> socket_;
};

class TcpLaneReceiver : public LaneReceiver {
 public:
  explicit TcpLaneReceiver(std::unique_ptr<FrameSocket> socket) : socket_(std::move(socket)) {}
  // The kernel writes to any memory.
  void attach_guest(std::span<uint8_t>) override {}
  Result<News> next(FrameHead& head) override {
    auto more = socket_->receive_head(head);
    if (!more) return pass_on(more);
    return *more ? News::head : News::end;
  }
  Result<bool> land(std::span<iovec> where) override {
    if (auto landed = socket_->receive_body(where); !landed) return pass_on(landed);
    return true;
  }
  void settle() override {}
  uint64_t bytes_written() const override { return 0; }
  bool lost() const override { return socket_->lost(); }
  void shut() override { socket_->shut(); }
  std::string peer() const override { return socket_->peer(); }

 private:
  std::unique_ptr<FrameSocket> socket_;
};

}  // namespace wherry
