#include "transport/flow/epoch_gate.h"

namespace wherry {

void EpochGate::ready() {
  std::lock_guard lock(mutex_);
  ready_ = true;
  changed_.notify_all();
}

bool EpochGate::open(uint32_t epoch) const {
  std::lock_guard lock(mutex_);
  return open_locked(epoch);
}

EpochGate::Verdict EpochGate::wait(uint32_t epoch) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return stopped_ || withdrawn_ || open_locked(epoch); });
  if (stopped_) return Verdict::stopped;
  return withdrawn_ ? Verdict::withdrawn : Verdict::land;
}

void EpochGate::finish(uint16_t channel, uint32_t epoch, uint32_t participants) {
  std::lock_guard lock(mutex_);
  Count& count = counts_[epoch];
  ++count.finished;
  if (channel == 0) count.participants = participants;
  for (auto next = counts_.find(open_); next != counts_.end(); next = counts_.find(open_)) {
    const Count& of = next->second;
    if (!of.participants || of.finished < *of.participants) break;
    counts_.erase(next);
    ++open_;
  }
  changed_.notify_all();
}

void EpochGate::withdraw() {
  std::lock_guard lock(mutex_);
  withdrawn_ = true;
  changed_.notify_all();
}

void EpochGate::stop() {
  std::lock_guard lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

}  // namespace wherry
