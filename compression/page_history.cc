#include "compression/page_history.h"

#include <algorithm>
#include <numeric>

namespace wherry {
namespace {

constexpr uint64_t kDefaultShare = 16;  // of guest RAM
constexpr uint64_t kDefaultExtra = 64 << 20;

}  // namespace

uint64_t default_history(const PageSpace& space) {
  const uint64_t pages =
      std::accumulate(space.pages_of_block.begin(), space.pages_of_block.end(), uint64_t{0});
  return pages * space.page_size / kDefaultShare + kDefaultExtra;
}

void PageHistory::set_space(const PageSpace& space) {
  if (!blocks_.empty()) return;
  page_size_ = space.page_size;
  budget_ = wanted_.value_or(default_history(space));
  for (const uint64_t pages : space.pages_of_block) {
    auto block = std::make_unique<Block>();
    block->count = pages / kRegionPages + 1;
    block->regions = std::make_unique<std::atomic<Region*>[]>(block->count);
    used_ += block->count * sizeof(block->regions[0]);
    pages_ += pages;
    regions_ += block->count;
    blocks_.push_back(std::move(block));
  }
}

void PageHistory::refer_to(const std::vector<uint16_t>& blocks) {
  if (bases_ != Bases::unknown) return;
  Lock lock(growing_);
  const uint64_t room = spare(sizeof(Region) + kHashBytes);
  contents_ = std::make_unique<ContentIndex>(std::min(room, pages_ * sizeof(KnownPage)));
  used_ += contents_->bytes();
  make_copies(room - contents_->bytes());
  bases_ = Bases::memory;
  for (const uint16_t block : blocks) {
    if (block < blocks_.size()) blocks_[block]->readable = true;
  }
}

void PageHistory::refer_to_copies(uint64_t most) {
  if (bases_ != Bases::unknown) return;
  Lock lock(growing_);
  make_copies(std::min(spare(sizeof(Region)), most * (page_size_ + KeptCopies::kOverhead)));
  bases_ = Bases::copies;
}

// The bytes of the budget that are left if all other regions are created too.
uint64_t PageHistory::spare(uint64_t region_bytes) const {
  return budget_ - std::min<uint64_t>(budget_, used_ + (regions_ - owned_.size()) * region_bytes);
}

void PageHistory::make_copies(uint64_t bytes) {
  copies_ = std::make_unique<KeptCopies>(bytes / (page_size_ + KeptCopies::kOverhead), page_size_, used_);
}

PageHistory::Region* PageHistory::region(uint16_t block, uint64_t page) const {
  return blocks_[block]->regions[page / kRegionPages];
}

// The region of a page, created if there is room; null if there is no room.
PageHistory::Region* PageHistory::grown(uint16_t block, uint64_t page, bool with_hashes) {
  if (disabled_) return nullptr;
  if (Region* found = region(block, page)) return found;
  Lock lock(growing_);
  if (Region* found = region(block, page)) return found;
  const uint64_t bytes = sizeof(Region) + (with_hashes ? kHashBytes : 0);
  if (used_ + bytes > budget_) return nullptr;
  owned_.push_back(std::make_unique<Region>());
  Region* made = owned_.back().get();
  // Not initialised: a page's hashes are written before they are read.
  if (with_hashes) made->hashes = std::make_unique_for_overwrite<LineHashes[]>(kRegionPages);
  used_ += bytes;
  blocks_[block]->regions[page / kRegionPages] = made;
  return made;
}

LineHashes* PageHistory::hashes(uint16_t block, uint64_t page) {
  Region* found = grown(block, page, true);
  return found && found->hashes ? &found->hashes[page % kRegionPages] : nullptr;
}

bool PageHistory::knows(uint16_t block, uint64_t page) const {
  if (disabled_) return false;
  const Region* found = region(block, page);
  return found && found->known[page % kRegionPages];
}

bool PageHistory::refers(uint16_t block, uint64_t page) const {
  return readable(block) && knows(block, page);
}

void PageHistory::remember(uint16_t block, uint64_t page, bool changed) {
  Region& found = *region(block, page);
  found.known[page % kRegionPages] = true;
  if (changed) ++found.versions[page % kRegionPages];
}

void PageHistory::forget(uint16_t block, uint64_t first, uint64_t count) {
  // Epochs are not encoded one after the other any more: another thread may be using this page and its copy.
  if (disabled_) return;
  for (uint64_t page = first; page < first + count;) {
    const uint64_t next = std::min(first + count, (page / kRegionPages + 1) * kRegionPages);
    Region* found = region(block, page);
    for (; page < next && found; ++page) {
      bool& known = found->known[page % kRegionPages];
      if (!known) continue;
      if (bases_ != Bases::unknown) copies_->drop(block, page);
      ++found->versions[page % kRegionPages];
      known = false;
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
  if (disabled_ || bases_ != Bases::memory) return std::nullopt;
  const auto known = contents_->find(content);
  return known && unchanged(*known) ? known : std::nullopt;
}

}  // namespace wherry
