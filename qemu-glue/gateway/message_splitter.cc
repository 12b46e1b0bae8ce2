#include "qemu-glue/gateway/message_splitter.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"

namespace wherry::libvirt {
namespace {

constexpr size_t kFdCountBytes = 4;
constexpr uint32_t kMostFds = 32;  // VIR_NET_MESSAGE_NUM_FDS_MAX

}  // namespace

std::optional<MessageSplitter::Piece> MessageSplitter::next(std::span<const uint8_t>& bytes) {
  if (std::exchange(handed_out_, false)) held_.clear();
  if (opaque_ || left_ > 0) {
    const size_t length = opaque_ ? bytes.size() : std::min(left_, bytes.size());
    if (length == 0) return std::nullopt;
    if (!opaque_) left_ -= length;
    const auto through = bytes.first(length);
    bytes = bytes.subspan(length);
    return Piece{through, std::nullopt};
  }

  if (!hold(bytes, kLengthBytes)) return std::nullopt;
  const size_t length = be32(held_.data());
  if (length < kHeadBytes || length > kLongestMessage) return hand_out_opaque();
  if (!hold(bytes, kHeadBytes)) return std::nullopt;
  const auto header = read_header(held_);
  if (!header) return hand_out_opaque();
  size_t fds = 0;
  if (header->has_fds()) {
    if (length < kHeadBytes + kFdCountBytes) return hand_out_opaque();
    if (!hold(bytes, kHeadBytes + kFdCountBytes)) return std::nullopt;
    fds = be32(&held_[kHeadBytes]);
    if (fds > kMostFds) return hand_out_opaque();
  }
  if (wanted_(*header)) {
    if (!hold(bytes, length)) return std::nullopt;
    return hand_out(header);
  }
  // Each descriptor comes with one byte after the message.
  left_ = length + fds - held_.size();
  return hand_out(std::nullopt);
}

// Whether the first `length` bytes of a message are there.
bool MessageSplitter::hold(std::span<const uint8_t>& bytes, size_t length) {
  if (held_.size() >= length) return true;
  const auto more = bytes.first(std::min(length - held_.size(), bytes.size()));
  held_.insert(held_.end(), more.begin(), more.end());
  bytes = bytes.subspan(more.size());
  return held_.size() == length;
}

MessageSplitter::Piece MessageSplitter::hand_out(std::optional<MessageHeader> whole) {
  handed_out_ = true;
  return {held_, whole};
}

MessageSplitter::Piece MessageSplitter::hand_out_opaque() {
  opaque_ = true;
  return hand_out(std::nullopt);
}

std::vector<uint8_t> MessageSplitter::give_up() {
  opaque_ = true;
  if (std::exchange(handed_out_, false)) held_.clear();
  return std::exchange(held_, {});
}

}  // namespace wherry::libvirt
