#include "transport/destination/channel_frames.h"

#include <utility>

#include "transport/wire/bounds.h"

namespace wherry {
namespace {

// Memory that a waiting frame takes: its body or slot, and what every frame takes.
size_t held(const Arrival& frame) {
  return frame.body.size() + (frame.slot ? kSlotBytes : 0) + 256;
}

}  // namespace

ChannelFrames::Claim::Claim(Claim&& other) noexcept
    : frames_(std::exchange(other.frames_, nullptr)), sequence_(other.sequence_) {}

ChannelFrames::Claim& ChannelFrames::Claim::operator=(Claim&& other) noexcept {
  const Claim old = std::move(*this);
  frames_ = std::exchange(other.frames_, nullptr);
  sequence_ = other.sequence_;
  return *this;
}

ChannelFrames::Claim::~Claim() {
  if (!frames_) return;
  Lock lock(frames_->mutex_);
  frames_->here_.erase(sequence_);
}

Result<> ChannelFrames::Claim::arrive(Arrival frame) && {
  ChannelFrames& frames = *std::exchange(frames_, nullptr);
  const size_t held_now = frames.held_bytes_ += held(frame);
  if (held_now > kMostHeld) return fail("the peer sends more than agreed");
  Lock lock(frames.mutex_);
  frames.here_[sequence_] = std::move(frame);
  frames.arrived_.notify_one();
  return {};
}

Result<> ChannelFrames::Claim::landed(bool last) && {
  ChannelFrames& frames = *std::exchange(frames_, nullptr);
  Lock lock(frames.mutex_);
  frames.here_.erase(frames.next_++);
  if (!last) return {};
  frames.closed_ = true;
  if (!frames.here_.empty()) return fail("channel {} has frames after its close", frames.channel_);
  return {};
}

Result<ChannelFrames::Claim> ChannelFrames::claim(uint64_t sequence) {
  Lock lock(mutex_);
  if (sequence < next_) return Claim();
  if (closed_) return fail("frame {} of channel {} came after its close", sequence, channel_);
  if (!here_.try_emplace(sequence).second) return Claim();
  return Claim(*this, sequence);
}

std::optional<ChannelFrames::Next> ChannelFrames::take() {
  Lock lock(mutex_);
  const auto is_here = [this]() WHERRY_REQUIRES(mutex_) {
    const auto first = here_.begin();
    return first != here_.end() && first->first == next_ && first->second.has_value();
  };
  while (!stopped_ && !is_here()) arrived_.wait(mutex_);
  if (stopped_) return std::nullopt;
  Next next{Claim(*this, next_), *std::exchange(here_.begin()->second, std::nullopt)};
  held_bytes_ -= held(next.frame);
  return next;
}

bool ChannelFrames::closed() const {
  Lock lock(mutex_);
  return closed_ && here_.empty();
}

void ChannelFrames::stop() {
  Lock lock(mutex_);
  stopped_ = true;
  arrived_.notify_all();
}

}  // namespace wherry
