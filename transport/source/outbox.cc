#include "transport/source/outbox.h"

#include <algorithm>
#include <tuple>

namespace wherry {
namespace {

// How many other frames go between two frames of disks, while there are both.
constexpr size_t kAheadOfDisks = 3;

}  // namespace

Outbox::Outbox() {
  gate_.ready();
}

Outbox::Frame Outbox::hold(OutFrame frame, FlightRoom room) {
  auto held = std::make_shared<OutFrame>(std::move(frame));
  unacknowledged_.emplace(key(held->header.channel, held->header.sequence),
                          Held{.frame = held, .room = std::move(room), .lanes = {}, .copied = {}});
  return held;
}

void Outbox::push(OutFrame frame, FlightRoom room) {
  Lock lock(mutex_);
  const FrameHeader& header = frame.header;
  if (header.type == FrameType::batch) ++not_encoded_[header.epoch];
  // However far ahead: it is this host's VMM that says so.
  if (header.type == FrameType::record && header.flags & kEpochEnd)
    gate_.finish(header.channel, header.epoch, header.aux);
  if (header.type == FrameType::record && header.channel == kMainChannel && header.flags & kPagesDone)
    pages_done_ = true;
  auto& queue = frame.disk ? disk_queue_ : queue_;
  queue.push_back(hold(std::move(frame), std::move(room)));
  changed_.notify_all();
}

Outbox::Frame Outbox::keep(OutFrame frame, FlightRoom room) {
  Lock lock(mutex_);
  return hold(std::move(frame), std::move(room));
}

Outbox::Frame Outbox::pop(size_t lane) {
  Lock lock(mutex_);
  Frame next;
  while (!stopped_ && !ended_.contains(lane) && !(next = take_next())) changed_.wait(mutex_);
  if (!next) return nullptr;
  auto held = unacknowledged_.find(key(next->header.channel, next->header.sequence));
  if (held != unacknowledged_.end()) held->second.lanes.push_back(lane);
  return next;
}

std::deque<Outbox::Frame>::const_iterator Outbox::find_ready() const {
  auto found = queue_.begin();
  while (found != queue_.end() && !ready(**found)) ++found;
  return found;
}

bool Outbox::pages_done() const {
  Lock lock(mutex_);
  return pages_done_;
}

bool Outbox::lanes_busy() const {
  Lock lock(mutex_);
  return find_ready() != queue_.end();
}

size_t Outbox::bytes_to_encode() const {
  Lock lock(mutex_);
  size_t bytes = 0;
  for (const auto& [key, held] : unacknowledged_) {
    if (held.frame->header.type == FrameType::batch && !held.encoded) bytes += held.room.bytes();
  }
  return bytes;
}

// Null: no frame is ready.
Outbox::Frame Outbox::take_next() {
  const auto found = find_ready();
  const bool disks_turn = found == queue_.end() || (since_disk_ >= kAheadOfDisks && !pages_done_);
  Frame next;
  if (disks_turn && !disk_queue_.empty()) {
    since_disk_ = 0;
    next = std::move(disk_queue_.front());
    disk_queue_.pop_front();
  } else if (found != queue_.end()) {
    ++since_disk_;
    next = *found;
    queue_.erase(found);
  }
  return next;
}

void Outbox::end(size_t lane) {
  Lock lock(mutex_);
  ended_.insert(lane);
  changed_.notify_all();
}

void Outbox::requeue(size_t lane) {
  Lock lock(mutex_);
  std::vector<Frame> lost;
  for (auto& [key, held] : unacknowledged_) {
    if (std::erase(held.lanes, lane) == 0) continue;
    // A batch that was not encoded is not in the history yet. It is encoded like any other, in its turn.
    const bool change = held.encoded && !held.frame->whole;
    lost.push_back(change ? make_whole(held) : held.frame);
  }
  std::sort(lost.begin(), lost.end(), [](const Frame& a, const Frame& b) {
    return std::tie(a->header.epoch, a->header.sequence) < std::tie(b->header.epoch, b->header.sequence);
  });
  queue_.insert(queue_.begin(), lost.begin(), lost.end());
  changed_.notify_all();
}

Outbox::Frame Outbox::make_whole(Held& held) {
  held.frame = std::make_shared<OutFrame>(*held.frame);
  held.frame->whole = true;
  held.frame->known.clear();
  held.frame->copied = held.copied;
  return held.frame;
}

bool Outbox::ready(const OutFrame& frame) const {
  if (frame.header.type != FrameType::batch || frame.whole || order_lost_) return true;
  return gate_.open(frame.header.epoch) && not_encoded_.begin()->first >= frame.header.epoch;
}

void Outbox::encoded(const OutFrame& batch, std::span<const KnownPage> known,
                     std::span<const CopiedPage> copied) {
  if (batch.whole) return;
  Lock lock(mutex_);
  auto held = unacknowledged_.find(key(batch.header.channel, batch.header.sequence));
  // A malicious peer can have acknowledged it already, or asked for it again.
  if (held != unacknowledged_.end() && held->second.frame.get() == &batch) {
    held->second.frame->known.assign(known.begin(), known.end());
    held->second.copied.assign(copied.begin(), copied.end());
    held->second.encoded = true;
  }
  auto of_epoch = not_encoded_.find(batch.header.epoch);
  if (--of_epoch->second > 0) return;
  not_encoded_.erase(of_epoch);
  changed_.notify_all();
}

void Outbox::lose_order() {
  Lock lock(mutex_);
  order_lost_ = true;
  changed_.notify_all();
}

bool Outbox::again(uint16_t channel, uint64_t sequence) {
  if (sequence >> 48 != 0) return false;
  Lock lock(mutex_);
  auto found = unacknowledged_.find(key(channel, sequence));
  if (found == unacknowledged_.end()) return false;
  Held& held = found->second;
  if (held.frame->header.type != FrameType::batch || held.asked_again) return false;
  held.asked_again = true;
  queue_.push_front(make_whole(held));
  changed_.notify_all();
  return true;
}

std::optional<Outbox::Acknowledged> Outbox::acknowledge(uint16_t channel, uint64_t sequence) {
  if (sequence >> 48 != 0) return std::nullopt;  // no channel has that many
  Lock lock(mutex_);
  auto found = unacknowledged_.find(key(channel, sequence));
  if (found == unacknowledged_.end()) return std::nullopt;
  Acknowledged acknowledged{std::move(found->second.frame), std::move(found->second.room)};
  unacknowledged_.erase(found);
  acknowledged_.notify_all();
  return acknowledged;
}

bool Outbox::wait_acknowledged() {
  Lock lock(mutex_);
  while (!stopped_ && !unacknowledged_.empty()) acknowledged_.wait(mutex_);
  return !stopped_;
}

bool Outbox::wait_acknowledged(uint16_t channel, uint64_t sequence) {
  Lock lock(mutex_);
  while (!stopped_ && unacknowledged_.contains(key(channel, sequence))) acknowledged_.wait(mutex_);
  return !stopped_;
}

void Outbox::stop() {
  Lock lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
  acknowledged_.notify_all();
}

}  // namespace wherry
