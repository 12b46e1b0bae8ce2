#include "transport/control.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>

namespace wherry {
namespace {

// For one who is sending just now; who sends for longer is stuck.
constexpr std::chrono::milliseconds kGiveUpPatience{50};

// Stops a parse that goes deeper than any message of ours: the CBOR reader recurses for each level.
class DepthLimit : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override { return ++depth_ <= kDeepest; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return depth_-- > 0; }
  bool start_array(size_t) override { return ++depth_ <= kDeepest; }
  bool end_array() override { return depth_-- > 0; }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception&) override { return false; }

 private:
  static constexpr int kDeepest = 8;
  int depth_ = 0;
};

}  // namespace

Result<> Control::send(const FrameHeader& header, std::span<const uint8_t> body) {
  std::lock_guard lock(sending_);
  return socket_->send(header, body);
}

Result<> Control::send(FrameType type, const nlohmann::json& map) {
  return send({.type = type}, nlohmann::json::to_cbor(map));
}

Result<> Control::acknowledge(uint16_t channel, uint64_t sequence) {
  return send({.type = FrameType::ack, .channel = channel, .sequence = sequence});
}

void Control::give_up(const std::string& why) {
  pollfd writable{socket_->fd(), POLLOUT, 0};
  if (std::unique_lock lock(sending_, kGiveUpPatience); lock && poll(&writable, 1, 0) == 1) {
    // The peer notices the end of the connection even if it does not get the reason.
    (void)socket_->send({.type = FrameType::failed}, {reinterpret_cast<const uint8_t*>(why.data()), why.size()});
  }
  socket_->shut();
}

Result<bool> Control::receive(FrameHead& head, std::vector<uint8_t>& body) {
  auto more = socket_->receive_head(head);
  if (!more || !*more) return more;
  auto received = socket_->receive_body();
  if (!received) return pass_on(received);
  body = std::move(*received);
  return true;
}

std::chrono::microseconds Control::round_trip() const {
  tcp_info info{};
  socklen_t length = sizeof info;
  if (getsockopt(socket_->fd(), IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return {};
  return std::chrono::microseconds(info.tcpi_min_rtt == ~0u ? info.tcpi_rtt : info.tcpi_min_rtt);
}

std::string peer_text(std::span<const uint8_t> body) {
  constexpr size_t kLongest = 1000;
  std::string text;
  for (uint8_t byte : body.first(std::min(body.size(), kLongest))) {
    text += byte < 0x20 || byte == 0x7f ? ' ' : static_cast<char>(byte);
  }
  return text;
}

Result<nlohmann::json> read_map(std::span<const uint8_t> body, const std::string& peer) {
  DepthLimit limit;
  if (!nlohmann::json::sax_parse(body.begin(), body.end(), &limit, nlohmann::json::input_format_t::cbor)) {
    return fail("{} sent a message that is no sound CBOR", peer);
  }
  auto map = nlohmann::json::from_cbor(body.begin(), body.end(), true, false);
  if (!map.is_object()) return fail("{} sent a message that is no CBOR map", peer);
  return map;
}

}  // namespace wherry
