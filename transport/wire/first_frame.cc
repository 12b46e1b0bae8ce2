#include "transport/wire/first_frame.h"

#include <sys/socket.h>

#include <algorithm>
#include <vector>

#include "base/errno.h"
#include "base/wait_ready.h"
#include "transport/wire/control.h"

namespace wherry {
namespace {

void wake_at(int fd, size_t bytes) {
  const int enough = static_cast<int>(bytes);
  ::setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &enough, sizeof enough);
}

// The first `bytes` bytes of a stream, which stay in the socket; nothing if they are not all there yet.
Result<std::optional<std::vector<uint8_t>>> peek(int fd, size_t bytes) {
  std::vector<uint8_t> seen(bytes);
  const ssize_t got = ::recv(fd, seen.data(), seen.size(), MSG_PEEK | MSG_DONTWAIT);
  if (got < 0 && errno != EAGAIN && errno != EINTR) return fail("{}", reason(errno));
  if (got == static_cast<ssize_t>(bytes)) return seen;
  wake_at(fd, bytes);
  pollfd ready{fd, POLLIN, 0};
  auto more = wait_ready({&ready, 1}, std::chrono::steady_clock::time_point());
  if (!more) return pass_on(more);
  // Readable without that many bytes: no more will come. Or they have come just now; then look again.
  if (!*more) return std::nullopt;
  const ssize_t now = ::recv(fd, seen.data(), seen.size(), MSG_PEEK | MSG_DONTWAIT);
  if (now == static_cast<ssize_t>(bytes)) return seen;
  return now < 0 ? fail("{}", reason(errno)) : fail("it ended in the middle of its first frame");
}

Result<std::optional<FirstFrame>> first_frame(int fd, const std::string& peer) {
  auto seen = peek(fd, kFrameHeaderBytes);
  if (!seen) return pass_on(seen);
  if (!*seen) return std::nullopt;
  HeaderBytes bytes;
  std::copy_n((*seen)->begin(), bytes.size(), bytes.begin());
  auto header = decode_header(bytes);
  if (!header) return pass_on(header);
  if (header->table_length != 0 || header->body_length > kFirstFrameBytes)
    return fail("a connection does not begin with this frame");
  if (auto sound = check_head(bytes, {}); !sound) return pass_on(sound);
  seen = peek(fd, kFrameHeaderBytes + header->body_length);
  if (!seen) return pass_on(seen);
  if (!*seen) return std::nullopt;
  const auto body = std::span<const uint8_t>(**seen).subspan(kFrameHeaderBytes);
  Checksum sum;
  sum.add(body);
  if (sum.value() != header->body_sum) return fail("the first frame is damaged");
  auto map = read_map(body, peer);
  if (!map) return pass_on(map);
  wake_at(fd, 1);
  return FirstFrame{header->type, std::move(*map)};
}

}  // namespace

Result<std::optional<FirstFrame>> look_for_first_frame(int fd, const std::string& peer) {
  auto frame = first_frame(fd, peer);
  if (!frame) return fail("{}: {}", peer, frame.error().message);
  return frame;
}

Result<FirstFrame> peek_first_frame(int fd, const std::string& peer, std::chrono::milliseconds patience) {
  const auto until = std::chrono::steady_clock::now() + patience;
  for (;;) {
    auto frame = look_for_first_frame(fd, peer);
    if (!frame) return pass_on(frame);
    if (*frame) return std::move(**frame);
    pollfd ready{fd, POLLIN, 0};
    auto more = wait_ready({&ready, 1}, until);
    if (!more) return fail("{}: {}", peer, more.error().message);
    if (!*more) return fail("{}: {}", peer, kFirstFrameLate);
  }
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
