#include "compression/page_history.h"

#include <algorithm>

namespace wherry {
namespace {

constexpr uint64_t kDefaultShare = 16;  // of guest RAM
constexpr uint64_t kDefaultExtra = 64 << 20;
constexpr uint8_t kOften = 2;

}  // namespace

void PageHistory::set_space(const PageSpace& space) {
  if (!blocks_.empty()) return;
  page_size_ = space.page_size;
  uint64_t pages_of_all = 0;
  uint64_t regions = 0;
  for (const uint64_t pages : space.pages_of_block) {
    auto block = std::make_unique<Block>();
    block->count = pages / kRegionPages + 1;
    block->regions = std::make_unique<std::atomic<Region*>[]>(block->count);
    used_ += block->count * sizeof(block->regions[0]);
    pages_of_all += pages;
    regions += block->count;
    blocks_.push_back(std::move(block));
  }
  budget_ = wanted_.value_or(pages_of_all * page_size_ / kDefaultShare + kDefaultExtra);
  const uint64_t for_hashes = used_ + regions * sizeof(Region);
  uint64_t spare = budget_ - std::min<uint64_t>(budget_, for_hashes);
  contents_ = std::make_unique<ContentIndex>(std::min(spare, pages_of_all * sizeof(KnownPage)));
  used_ += contents_->bytes();
  spare -= contents_->bytes();
  copies_ = std::make_unique<KeptCopies>(spare / (page_size_ + KeptCopies::kOverhead), page_size_, used_);
}

void PageHistory::refer_to(const std::vector<uint16_t>& blocks) {
  for (const uint16_t block : blocks) {
    if (block < blocks_.size()) blocks_[block]->readable = true;
  }
}

PageHistory::Region* PageHistory::region(uint16_t block, uint64_t page) const {
  return blocks_[block]->regions[page / kRegionPages];
}

LineHashes* PageHistory::hashes(uint16_t block, uint64_t page) {
  if (disabled_) return nullptr;
  Region* found = region(block, page);
  if (!found) {
    std::lock_guard lock(growing_);
    found = region(block, page);
    if (!found && used_ + sizeof(Region) <= budget_) {
      // Not cleared: hashes are written before they count.
      owned_.push_back(std::make_unique_for_overwrite<Region>());
      used_ += sizeof(Region);
      found = owned_.back().get();
      blocks_[block]->regions[page / kRegionPages] = found;
    }
  }
  return found ? &found->hashes[page % kRegionPages] : nullptr;
}

bool PageHistory::knows(uint16_t block, uint64_t page) const {
  if (disabled_) return false;
  const Region* found = region(block, page);
  return found && found->known[page % kRegionPages];
}

bool PageHistory::comes_back(uint16_t block, uint64_t page) const {
  return region(block, page)->known[page % kRegionPages] >= kOften;
}

bool PageHistory::refers(uint16_t block, uint64_t page) const {
  return readable(block) && knows(block, page);
}

void PageHistory::remember(uint16_t block, uint64_t page, bool changed) {
  Region& found = *region(block, page);
  uint8_t& times = found.known[page % kRegionPages];
  times = std::min<uint8_t>(times + 1, kOften + 1);
  if (changed) ++found.versions[page % kRegionPages];
}

void PageHistory::forget(uint16_t block, uint64_t first, uint64_t count) {
  // Epochs are no longer apart then: another thread may be at this page, and at its copy.
  if (disabled_) return;
  for (uint64_t page = first; page < first + count;) {
    const uint64_t next = std::min(first + count, (page / kRegionPages + 1) * kRegionPages);
    Region* found = region(block, page);
    for (; page < next && found; ++page) {
      uint8_t& times = found->known[page % kRegionPages];
      if (times >= kOften) copies_->drop(block, page);
      if (times > 0) ++found->versions[page % kRegionPages];
      times = 0;
    }
    page = next;
  }
}

KnownPage PageHistory::known(uint64_t content, uint16_t block, uint64_t page) const {
  return {content, page, block, region(block, page)->versions[page % kRegionPages]};
}

bool PageHistory::unchanged(const KnownPage& known) const {
  const Region* found = region(known.block, known.page);
  return found && found->versions[known.page % kRegionPages] == known.version;
}

void PageHistory::landed(std::span<const KnownPage> pages) {
  for (const KnownPage& known : pages) {
    if (unchanged(known)) contents_->add(known);
  }
}

std::optional<KnownPage> PageHistory::find(uint64_t content) const {
  if (disabled_) return std::nullopt;
  const auto known = contents_->find(content);
  return known && unchanged(*known) ? known : std::nullopt;
}

}  // namespace wherry
