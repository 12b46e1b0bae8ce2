#include "transport/wire/control.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <thread>

#include "base/printable.h"
#include "base/start_thread.h"

namespace wherry {
namespace {

using namespace std::chrono_literals;

// How long give_up() waits for a thread that is sending. If that takes longer, it is stuck.
constexpr std::chrono::milliseconds kGiveUpPatience{50};

// Whether a recursive parser can safely read the bytes: definite lengths only, no tags, and no deeper than
// any message of ours. The JSON library's CBOR reader recurses for each level, and for each piece of a text
// of indefinite length.
bool is_plain_cbor(std::span<const uint8_t> bytes) {
  constexpr size_t kDeepest = 8;
  std::vector<uint64_t> left{1};  // items still to come at each level
  while (!left.empty()) {
    if (left.back() == 0) {
      left.pop_back();
      continue;
    }
    --left.back();
    if (bytes.empty()) return false;
    const uint8_t major = bytes[0] >> 5;
    const uint8_t info = bytes[0] & 0x1f;
    const size_t extra = info < 24 ? 0 : size_t{1} << (info - 24);
    if (info > 27 || bytes.size() < 1 + extra) return false;
    uint64_t value = info;
    if (extra > 0) value = 0;
    for (size_t i = 0; i < extra; ++i) value = value << 8 | bytes[1 + i];
    bytes = bytes.subspan(1 + extra);
    if (major == 2 || major == 3) {  // bytes, text
      if (value > bytes.size()) return false;
      bytes = bytes.subspan(value);
    } else if (major == 4 || major == 5) {  // array, map
      if (value > bytes.size() || left.size() > kDeepest) return false;
      left.push_back(major == 5 ? 2 * value : value);
    } else if (major == 6) {  // tag
      return false;
    }
  }
  return bytes.empty();
}

}  // namespace

Result<> Control::send(const FrameHeader& header, std::span<const uint8_t> body) {
  Lock lock(sending_);
  return socket_->send(header, body);
}

Result<> Control::send(FrameType type, const nlohmann::json& map) {
  return send({.type = type}, nlohmann::json::to_cbor(map));
}

Result<> Control::acknowledge(uint16_t channel, uint64_t sequence) {
  return send({.type = FrameType::ack, .channel = channel, .sequence = sequence});
}

void Control::give_up(const std::string& why, uint32_t aux) {
  // Not with a timed mutex, because GCC 12's ThreadSanitizer does not know pthread_mutex_clocklock().
  for (auto waited = 0ms; waited < kGiveUpPatience; waited += 1ms) {
    if (sending_.try_lock()) {
      Lock lock(sending_, std::adopt_lock);
      pollfd writable{socket_->fd(), POLLOUT, 0};
      // The peer notices the end of the connection even if it does not get the reason.
      if (poll(&writable, 1, 0) == 1)
        (void)socket_->send({.type = FrameType::failed, .aux = aux},
                            {reinterpret_cast<const uint8_t*>(why.data()), why.size()});
      break;
    }
    std::this_thread::sleep_for(1ms);
  }
  ::shutdown(socket_->fd(), SHUT_WR);
  given_up_ = true;
  over_ = true;
  over_.notify_all();
}

Result<> Control::start(std::function<void()> loop) {
  auto thread = start_thread("control", [this, loop = std::move(loop)] {
    loop();
    over_ = true;
    over_.notify_all();
  });
  if (!thread) return pass_on(thread);
  thread_ = std::move(*thread);
  return {};
}

void Control::join() {
  if (!thread_.joinable()) return;
  over_.wait(false);
  if (given_up_) {
    pollfd peer{socket_->fd(), POLLRDHUP, 0};
    poll(&peer, 1, static_cast<int>(kExplanation.count()));
    socket_->shut();
  }
  thread_.join();
}

Result<bool> Control::receive(FrameHead& head, std::vector<uint8_t>& body) {
  auto more = socket_->receive_head(head);
  if (!more || !*more) return more;
  if (head.header.pack_length > 0) return fail("{} sent a packed frame on the control connection", peer());
  auto received = socket_->receive_body();
  if (!received) return pass_on(received);
  body = std::move(*received);
  return true;
}

bool Control::gone() const {
  pollfd state{socket_->fd(), POLLRDHUP, 0};
  return poll(&state, 1, 0) == 1;
}

std::chrono::microseconds Control::round_trip() const {
  tcp_info info{};
  socklen_t length = sizeof info;
  if (getsockopt(socket_->fd(), IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return {};
  return std::chrono::microseconds(info.tcpi_min_rtt == ~0u ? info.tcpi_rtt : info.tcpi_min_rtt);
}

std::string peer_text(std::span<const uint8_t> body) {
  return printable({reinterpret_cast<const char*>(body.data()), body.size()});
}

Result<std::string> peer_text(const nlohmann::json& map, const char* key) {
  auto text = member<std::string>(map, key);
  if (!text) return text;
  return printable(*text);
}

Result<nlohmann::json> read_map(std::span<const uint8_t> body, const std::string& peer) {
  if (!is_plain_cbor(body)) return fail("{} sent a message that is not valid CBOR", peer);
  auto map = nlohmann::json::from_cbor(body.begin(), body.end(), true, false);
  if (map.is_discarded()) return fail("{} sent a message that is not valid CBOR", peer);
  if (!map.is_object()) return fail("{} sent a message that is not a CBOR map", peer);
  return map;
}

}  // namespace wherry
