#include "transport/outbox.h"

#include <algorithm>

namespace wherry {

Outbox::Outbox() {
  gate_.ready();
}

std::shared_ptr<OutFrame> Outbox::hold(OutFrame frame) {
  auto held = std::make_shared<OutFrame>(std::move(frame));
  unacknowledged_.emplace(key(held->header.channel, held->header.sequence), held);
  return held;
}

void Outbox::push(OutFrame frame) {
  std::lock_guard lock(mutex_);
  const FrameHeader& header = frame.header;
  if (header.type == FrameType::batch) ++not_encoded_[header.epoch];
  if (header.type == FrameType::record && header.flags & kEpochEnd) {
    gate_.finish(header.channel, header.epoch, header.aux);
  }
  queue_.push_back(hold(std::move(frame)));
  changed_.notify_all();
}

void Outbox::keep(OutFrame frame) {
  std::lock_guard lock(mutex_);
  hold(std::move(frame));
}

Outbox::Frame Outbox::pop() {
  std::unique_lock lock(mutex_);
  auto found = queue_.end();
  changed_.wait(lock, [&] {
    found = std::find_if(queue_.begin(), queue_.end(), [this](const Frame& frame) { return ready(*frame); });
    return stopped_ || found != queue_.end();
  });
  if (stopped_) return nullptr;
  Frame next = std::move(*found);
  queue_.erase(found);
  return next;
}

bool Outbox::ready(const OutFrame& frame) const {
  if (frame.header.type != FrameType::batch || frame.whole || order_lost_) return true;
  return gate_.open(frame.header.epoch) && not_encoded_.begin()->first >= frame.header.epoch;
}

void Outbox::encoded(const OutFrame& batch, std::span<const KnownPage> known) {
  if (batch.whole) return;
  std::lock_guard lock(mutex_);
  auto held = unacknowledged_.find(key(batch.header.channel, batch.header.sequence));
  // A peer that means ill can have acknowledged it already, or asked for it again.
  if (held != unacknowledged_.end() && held->second.get() == &batch)
    held->second->known.assign(known.begin(), known.end());
  auto of_epoch = not_encoded_.find(batch.header.epoch);
  if (--of_epoch->second > 0) return;
  not_encoded_.erase(of_epoch);
  changed_.notify_all();
}

void Outbox::lose_order() {
  std::lock_guard lock(mutex_);
  order_lost_ = true;
  changed_.notify_all();
}

bool Outbox::again(uint16_t channel, uint64_t sequence) {
  if (sequence >> 48 != 0) return false;
  std::lock_guard lock(mutex_);
  auto found = unacknowledged_.find(key(channel, sequence));
  if (found == unacknowledged_.end()) return false;
  if (found->second->header.type != FrameType::batch || found->second->whole) return false;
  OutFrame whole = *found->second;
  whole.whole = true;
  whole.known.clear();
  found->second = std::make_shared<OutFrame>(std::move(whole));
  queue_.push_front(found->second);
  changed_.notify_all();
  return true;
}

Outbox::Frame Outbox::acknowledge(uint16_t channel, uint64_t sequence) {
  if (sequence >> 48 != 0) return nullptr;  // no channel has that many
  std::lock_guard lock(mutex_);
  auto found = unacknowledged_.find(key(channel, sequence));
  if (found == unacknowledged_.end()) return nullptr;
  Frame frame = std::move(found->second);
  unacknowledged_.erase(found);
  if (unacknowledged_.empty()) changed_.notify_all();
  return frame;
}

bool Outbox::wait_acknowledged() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return stopped_ || unacknowledged_.empty(); });
  return !stopped_;
}

void Outbox::stop() {
  std::lock_guard lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

}  // namespace wherry
