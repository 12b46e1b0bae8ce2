#include "compression/kept_copies.h"

#include <algorithm>

namespace wherry {
namespace {

constexpr uint8_t kMostWorth = 4;
constexpr int kLooks = 4;  // copies that admit() looks at before it gives up

}  // namespace

KeptCopies::KeptCopies(uint64_t capacity, uint32_t page_size, std::atomic<uint64_t>& used)
    : page_size_(page_size),
      memory_(capacity * page_size),
      used_(used),
      capacity_(memory_.size() > 0 ? capacity : 0) {}

KeptCopies::Copy KeptCopies::find(uint16_t block, uint64_t page, uint32_t epoch) {
  Lock lock(mutex_);
  const auto found = at_.find(key(block, page));
  if (found == at_.end()) return {};
  Kept& copy = copies_[found->second];
  copy.worth = std::min<uint8_t>(copy.worth + 1, kMostWorth);
  copy.in_use = true;
  copy.used_in = epoch;
  return {bytes_of(found->second), static_cast<uint32_t>(found->second)};
}

KeptCopies::Copy KeptCopies::admit(uint16_t block, uint64_t page, uint32_t epoch, bool comes_back) {
  Lock lock(mutex_);
  const auto settle = [&](size_t at) WHERRY_REQUIRES(mutex_) {
    Kept& copy = copies_[at];
    copy.key = key(block, page);
    copy.worth = comes_back;
    copy.in_use = copy.valid = true;
    copy.used_in = epoch;
    at_[copy.key] = at;
    return Copy{bytes_of(at), static_cast<uint32_t>(at)};
  };
  if (copies_.size() < capacity_) {
    copies_.emplace_back();
    ++taken_;
    used_ += each();
    return settle(copies_.size() - 1);
  }
  for (int look = 0; look < kLooks && comes_back && capacity_ > 0; ++look) {
    const size_t at = hand_;
    hand_ = (hand_ + 1) % capacity_;
    Kept& copy = copies_[at];
    if (copy.in_use || copy.used_in == epoch) continue;
    if (copy.valid && copy.worth > 0) {
      --copy.worth;
      continue;
    }
    if (copy.valid) at_.erase(copy.key);
    return settle(at);
  }
  return {};
}

void KeptCopies::release(uint16_t block, uint64_t page) {
  Lock lock(mutex_);
  copies_[at_.at(key(block, page))].in_use = false;
}

uint64_t KeptCopies::bytes() const {
  Lock lock(mutex_);
  return taken_ * each();
}

void KeptCopies::shrink(uint64_t capacity) {
  Lock lock(mutex_);
  if (capacity >= capacity_) return;
  const size_t had = std::min<uint64_t>(capacity_, copies_.size());
  capacity_ = capacity;
  hand_ = 0;
  size_t first = capacity;  // of those to be given back in one piece
  for (size_t at = capacity; at < had; ++at) {
    Kept& copy = copies_[at];
    if (copy.in_use) {
      memory_.give_back(first * page_size_, (at - first) * page_size_);
      first = at + 1;
      continue;
    }
    if (copy.valid) at_.erase(copy.key);
    copy.valid = false;
    --taken_;
    used_ -= each();
  }
  if (first < had) memory_.give_back(first * page_size_, (had - first) * page_size_);
}

void KeptCopies::drop(uint16_t block, uint64_t page) {
  Lock lock(mutex_);
  const auto found = at_.find(key(block, page));
  if (found == at_.end()) return;
  copies_[found->second].valid = false;
  at_.erase(found);
}

}  // namespace wherry
