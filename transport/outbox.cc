#include "transport/outbox.h"

namespace wherry {

Outbox::Frame Outbox::hold(OutFrame frame) {
  auto held = std::make_shared<const OutFrame>(std::move(frame));
  unacknowledged_.emplace(key(held->header.channel, held->header.sequence), held);
  return held;
}

void Outbox::push(OutFrame frame) {
  std::lock_guard lock(mutex_);
  queue_.push_back(hold(std::move(frame)));
  changed_.notify_all();
}

void Outbox::keep(OutFrame frame) {
  std::lock_guard lock(mutex_);
  hold(std::move(frame));
}

Outbox::Frame Outbox::pop() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return stopped_ || !queue_.empty(); });
  if (stopped_) return nullptr;
  Frame next = std::move(queue_.front());
  queue_.pop_front();
  return next;
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
