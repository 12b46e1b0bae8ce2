#include "qemu-glue/destination/destination_guest.h"

#include <algorithm>
#include <utility>

namespace wherry::qemu {

DestinationGuest::DestinationGuest(Failure& failure) : failure_(failure) {
  closer_ = failure_.on_fail([this] {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  });
  failure_.explain([this] { return ending_.cause(); });
}

DestinationGuest::~DestinationGuest() {
  failure_.explain({});
}

void DestinationGuest::set_blocks(const GuestBlocks& blocks, Skip placed) {
  ending_.will_not_say();  // or has been asked to, ahead of them
  std::lock_guard lock(mutex_);
  blocks_ = blocks;
  placed_ = std::move(placed);
}

bool DestinationGuest::placing() const {
  std::lock_guard lock(mutex_);
  return std::find(placed_.begin(), placed_.end(), true) != placed_.end();
}

void DestinationGuest::main_dialled(std::optional<PeerProcess> process) {
  std::lock_guard lock(mutex_);
  process_ = std::move(process);
  dialled_ = true;
  changed_.notify_all();
}

pid_t DestinationGuest::process() const {
  std::lock_guard lock(mutex_);
  return process_ ? process_->number() : -1;
}

bool DestinationGuest::process_ended() const {
  std::lock_guard lock(mutex_);
  return process_ && process_->has_ended();
}

bool DestinationGuest::wait_main_dialled() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return dialled_ || stopped_; });
  return !stopped_;
}

void DestinationGuest::main_ended(bool both_ways) {
  ending_.left(both_ways);
  std::lock_guard lock(mutex_);
  changed_.notify_all();
}

void DestinationGuest::source_gone() {
  std::lock_guard lock(mutex_);
  source_gone_ = true;
  changed_.notify_all();
}

bool DestinationGuest::wait_main_closed(std::chrono::milliseconds longest) {
  const auto closed = [this] { return ending_.over() || stopped_ || !dialled_; };
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return closed() || source_gone_; });
  return changed_.wait_for(lock, longest, closed);
}

}  // namespace wherry::qemu
