#include "transport/flow/epoch_gate.h"

namespace wherry {

void EpochGate::ready() {
  Lock lock(mutex_);
  ready_ = true;
  changed_.notify_all();
}

bool EpochGate::open(uint32_t epoch) const {
  Lock lock(mutex_);
  return is_open(epoch);
}

EpochGate::Verdict EpochGate::wait(uint32_t epoch) {
  Lock lock(mutex_);
  while (!stopped_ && !withdrawn_ && !is_open(epoch)) changed_.wait(mutex_);
  if (stopped_) return Verdict::stopped;
  return withdrawn_ ? Verdict::withdrawn : Verdict::land;
}

bool EpochGate::finish(uint16_t channel, uint32_t epoch, uint32_t participants) {
  Lock lock(mutex_);
  if (withdrawn_ || epoch < open_) return true;  // nobody waits for that any more
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
  return counts_.size() <= kMostAhead;
}

void EpochGate::withdraw() {
  Lock lock(mutex_);
  withdrawn_ = true;
  changed_.notify_all();
}

void EpochGate::stop() {
  Lock lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

}  // namespace wherry
