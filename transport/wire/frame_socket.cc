#include "transport/wire/frame_socket.h"

#include <sys/socket.h>

#include <algorithm>

#include "base/wait_ready.h"
#include "transport/socket/path_mtu.h"
#include "transport/socket/socket.h"

namespace wherry {
namespace {

// Bodies are received and summed in parts of this size, so that the sum finds the bytes in the cache.
constexpr size_t kPart = 128 * 1024;
// Longer than a thread needs to report a failure that the kernel has just told it.
constexpr std::chrono::milliseconds kTelling{100};

}  // namespace

FrameSocket::FrameSocket(Fd socket, std::string peer) : socket_(std::move(socket)), peer_(std::move(peer)) {}

Result<> FrameSocket::send(FrameHeader header, std::span<const uint8_t> table,
                           std::span<const std::span<const uint8_t>> body) {
  pieces_.resize(2);
  send_sum_.reset();
  header.table_length = static_cast<uint32_t>(table.size());
  header.body_length = 0;
  for (std::span<const uint8_t> part : body) {
    send_sum_.add(part);
    header.body_length += static_cast<uint32_t>(part.size());
    pieces_.push_back(piece(part));
  }
  if (header.body_length > kMaxBody || table.size() > kMaxTable) {
    return fail("a frame for {} is too long: {} bytes", peer_, header.body_length);
  }
  header.body_sum = send_sum_.value();
  const HeaderBytes head = encode_header(header, table);
  pieces_[0] = piece(head);
  pieces_[1] = piece(table);
  if (auto sent = send_all(socket_.get(), pieces_); !sent) {
    return fail("sending to {} failed: {}", peer_, cause(sent.error().message));
  }
  bytes_sent_ += head.size() + table.size() + header.body_length;
  return {};
}

Result<> FrameSocket::send(FrameHeader header, std::span<const uint8_t> body) {
  return send(header, {}, {&body, body.empty() ? 0u : 1u});
}

Result<bool> FrameSocket::receive(std::span<iovec> pieces) {
  auto got = recv_all(socket_.get(), pieces);
  lost_ = !got || !*got;
  if (!got) return fail("{}", cause(got.error().message));
  return got;
}

std::string FrameSocket::cause(const std::string& told) {
  Lock lock(telling_);
  tell(told);
  told_.notify_all();
  return cause_;
}

void FrameSocket::tell(const std::string& told) {
  if (!cause_.empty()) return;
  cause_ = told;
  if (const auto size = lost_packets(socket_.get())) {
    cause_ += fmt::format(
        "; no packet of {} bytes, which the MTUs of both ends allow, was ever acknowledged, only smaller "
        "ones: if the peer is up, {}",
        *size, kLostPacketsRemedy);
  }
}

void FrameSocket::refuse(const std::string& why) {
  // If this cannot be sent, the peer has left, and the connection has ended anyway.
  (void)send({.type = FrameType::refuse}, {reinterpret_cast<const uint8_t*>(why.data()), why.size()});
  shut();
}

Result<bool> FrameSocket::receive_head(FrameHead& head) {
  HeaderBytes bytes;
  iovec all = {bytes.data(), bytes.size()};
  auto got = receive({&all, 1});
  if (!got) return fail("receiving from {} failed: {}", peer_, got.error().message);
  if (!*got) return false;
  auto header = decode_header(bytes);
  if (!header) return fail("{}: {}", peer_, header.error().message);
  head.table.resize(header->table_length);
  all = {head.table.data(), head.table.size()};
  got = receive({&all, 1});
  if (!got || !*got) {
    return fail("receiving from {} failed: {}", peer_, got ? "the connection ended" : got.error().message);
  }
  if (auto sound = check_head(bytes, head.table); !sound) return fail("{}: {}", peer_, sound.error().message);
  head.header = received_ = *header;
  return true;
}

Result<> FrameSocket::receive_body(std::span<iovec> where) {
  receive_sum_.reset();
  std::vector<iovec> part;
  for (size_t at = 0; at < where.size();) {
    part.clear();
    for (size_t bytes = 0; at < where.size() && bytes < kPart; ++at) {
      part.push_back(where[at]);
      bytes += where[at].iov_len;
    }
    const std::vector<iovec> landed = part;
    auto got = receive(part);
    if (!got || !*got) {
      return fail("receiving from {} failed: {}", peer_, got ? "the connection ended" : got.error().message);
    }
    for (const iovec& piece : landed)
      receive_sum_.add({static_cast<const uint8_t*>(piece.iov_base), piece.iov_len});
  }
  if (receive_sum_.value() != received_.body_sum) {
    return fail("{}: a frame was damaged on its way (channel {}, frame {}, {} bytes)", peer_,
                received_.channel, received_.sequence, received_.body_length);
  }
  return {};
}

Result<std::vector<uint8_t>> FrameSocket::receive_body() {
  std::vector<uint8_t> body(received_.body_length);
  iovec all{body.data(), body.size()};
  auto landed = receive_body({&all, body.empty() ? 0u : 1u});
  if (!landed) return pass_on(landed);
  return body;
}

void FrameSocket::set_patience(std::chrono::milliseconds longest) {
  timeval wait{longest.count() / 1000, (longest.count() % 1000) * 1000};
  setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
}

Error FrameSocket::await_end() {
  pollfd end{socket_.get(), POLLRDHUP, 0};
  if (auto waited = wait_ready({&end, 1}); !waited) return waited.error();
  Lock lock(telling_);
  int error = 0;
  socklen_t length = sizeof error;
  getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &length);
  if (error != 0) tell(reason(error, socket_.get()));
  // Both directions have ended, not by shut(), and the kernel has no error left: it has told another thread,
  // which is about to report it.
  if (end.revents & POLLHUP) {
    const auto until = std::chrono::steady_clock::now() + kTelling;
    while (!shut_ && cause_.empty() && told_.wait_until(telling_, until)) continue;
  }
  return {fmt::format("the connection to {} {}", peer_, cause_.empty() ? "was closed" : "failed: " + cause_)};
}

void FrameSocket::shut() {
  {
    Lock lock(telling_);
    shut_ = true;
  }
  told_.notify_all();
  ::shutdown(socket_.get(), SHUT_RDWR);
}

}  // namespace wherry
