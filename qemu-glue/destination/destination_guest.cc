#include "qemu-glue/destination/destination_guest.h"

#include <algorithm>
#include <utility>

namespace wherry::qemu {

DestinationGuest::DestinationGuest(Failure& failure) : failure_(failure) {
  closer_ = failure_.on_fail([this] {
    Lock lock(mutex_);
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
  Lock lock(mutex_);
  blocks_ = blocks;
  placed_ = std::move(placed);
}

bool DestinationGuest::placing() const {
  Lock lock(mutex_);
  return std::find(placed_.begin(), placed_.end(), true) != placed_.end();
}

void DestinationGuest::main_dialled(std::optional<PeerProcess> process) {
  Lock lock(mutex_);
  process_ = std::move(process);
  dialled_ = true;
  changed_.notify_all();
}

pid_t DestinationGuest::process() const {
  Lock lock(mutex_);
  return process_ ? process_->number() : -1;
}

bool DestinationGuest::process_ended() const {
  Lock lock(mutex_);
  return process_ && process_->has_ended();
}

bool DestinationGuest::wait_main_dialled() {
  Lock lock(mutex_);
  while (!dialled_ && !stopped_) changed_.wait(mutex_);
  return !stopped_;
}

void DestinationGuest::main_ended(bool both_ways) {
  ending_.left(both_ways);
  Lock lock(mutex_);
  changed_.notify_all();
}

void DestinationGuest::source_gone() {
  Lock lock(mutex_);
  source_gone_ = true;
  changed_.notify_all();
}

bool DestinationGuest::wait_main_closed(std::chrono::milliseconds longest) {
  Lock lock(mutex_);
  while (!is_closed() && !source_gone_) changed_.wait(mutex_);
  const auto until = std::chrono::steady_clock::now() + longest;
  while (!is_closed() && changed_.wait_until(mutex_, until)) continue;
  return is_closed();
}

}  // namespace wherry::qemu
