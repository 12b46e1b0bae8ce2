#include "compression/kept_copies.h"

#include <algorithm>

namespace wherry {
namespace {

constexpr uint8_t kMostWorth = 4;
constexpr int kLooks = 4;  // copies that admit() looks at before it gives up

}  // namespace

KeptCopies::Copy KeptCopies::find(uint16_t block, uint64_t page, uint32_t epoch) {
  Lock lock(mutex_);
  const auto found = at_.find(key(block, page));
  if (found == at_.end()) return {};
  Kept& copy = copies_[found->second];
  copy.worth = std::min<uint8_t>(copy.worth + 1, kMostWorth);
  copy.in_use = true;
  copy.used_in = epoch;
  return {copy.bytes.get(), static_cast<uint32_t>(found->second)};
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
    return Copy{copy.bytes.get(), static_cast<uint32_t>(at)};
  };
  if (copies_.size() < capacity_) {
    copies_.emplace_back().bytes.reset(new uint8_t[page_size_]);
    used_ += page_size_ + kOverhead;
    return settle(copies_.size() - 1);
  }
  for (int look = 0; look < kLooks && comes_back && !copies_.empty(); ++look) {
    const size_t at = hand_;
    hand_ = (hand_ + 1) % copies_.size();
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

void KeptCopies::drop(uint16_t block, uint64_t page) {
  Lock lock(mutex_);
  const auto found = at_.find(key(block, page));
  if (found == at_.end()) return;
  copies_[found->second].valid = false;
  at_.erase(found);
}

}  // namespace wherry
