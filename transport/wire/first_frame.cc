#include "transport/wire/first_frame.h"

#include <sys/socket.h>

#include <algorithm>
#include <vector>

#include "base/errno.h"
#include "base/wait_ready.h"
#include "transport/wire/control.h"

namespace wherry {
namespace {

constexpr size_t kMostBytes = 16 * 1024;

// The first `bytes` bytes of a stream, as soon as all of them are there. They stay in the socket.
Result<std::vector<uint8_t>> peek(int fd, size_t bytes, std::chrono::steady_clock::time_point until) {
  // The socket is then readable only when that many are there, so one wait is enough.
  const int enough = static_cast<int>(bytes);
  ::setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &enough, sizeof enough);
  pollfd ready{fd, POLLIN, 0};
  auto there = wait_ready({&ready, 1}, until);
  const int one = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one);
  if (!there) return pass_on(there);
  if (!*there) return fail("it did not send a first frame in time");
  std::vector<uint8_t> seen(bytes);
  const ssize_t got = ::recv(fd, seen.data(), seen.size(), MSG_PEEK | MSG_DONTWAIT);
  if (got < 0) return fail("{}", reason(errno));
  if (static_cast<size_t>(got) < bytes) return fail("it ended in the middle of its first frame");
  return seen;
}

Result<FirstFrame> first_frame(int fd, const std::string& peer, std::chrono::milliseconds patience) {
  const auto until = std::chrono::steady_clock::now() + patience;
  auto seen = peek(fd, kFrameHeaderBytes, until);
  if (!seen) return pass_on(seen);
  HeaderBytes bytes;
  std::copy_n(seen->begin(), bytes.size(), bytes.begin());
  auto header = decode_header(bytes);
  if (!header) return pass_on(header);
  if (header->table_length != 0 || header->body_length > kMostBytes)
    return fail("a connection does not begin with this frame");
  if (auto sound = check_head(bytes, {}); !sound) return pass_on(sound);
  seen = peek(fd, kFrameHeaderBytes + header->body_length, until);
  if (!seen) return pass_on(seen);
  const auto body = std::span<const uint8_t>(*seen).subspan(kFrameHeaderBytes);
  Checksum sum;
  sum.add(body);
  if (sum.value() != header->body_sum) return fail("the first frame is damaged");
  auto map = read_map(body, peer);
  if (!map) return pass_on(map);
  return FirstFrame{header->type, std::move(*map)};
}

}  // namespace

Result<FirstFrame> peek_first_frame(int fd, const std::string& peer, std::chrono::milliseconds patience) {
  auto frame = first_frame(fd, peer, patience);
  if (!frame) return fail("{}: {}", peer, frame.error().message);
  return frame;
}

Result<nlohmann::json> read_welcome(FrameSocket& socket) {
  FrameHead head;
  auto got = socket.receive_head(head);
  constexpr const char* kLook = "is it a Wherry that listens there, and is it running? See its log";
  if (!got && socket.lost()) return fail("{} ({})", got.error().message, kLook);
  if (!got) return pass_on(got);
  if (!*got) return fail("{} closed the connection without an answer ({})", socket.peer(), kLook);
  auto body = socket.receive_body();
  if (!body) return pass_on(body);
  if (head.header.type == FrameType::refuse) {
    return fail("{} refused: {}", socket.peer(), peer_text(*body));
  }
  if (head.header.type != FrameType::welcome) return fail("{} answered without a welcome", socket.peer());
  return read_map(*body, socket.peer());
}

}  // namespace wherry
