#include "compression/page_history.h"

#include <algorithm>
#include <numeric>

#include "base/available_memory.h"

namespace wherry {
namespace {

constexpr uint64_t kDefaultShare = 16;  // of guest RAM
constexpr uint64_t kDefaultExtra = 64 << 20;
constexpr uint64_t kAffordablePart = 4;  // of the memory that is left

}  // namespace

uint64_t default_history(const PageSpace& space) {
  const uint64_t pages =
      std::accumulate(space.pages_of_block.begin(), space.pages_of_block.end(), uint64_t{0});
  return pages * space.page_size / kDefaultShare + kDefaultExtra;
}

uint64_t affordable_history(uint64_t taken) {
  const uint64_t available = available_memory();
  const uint64_t without = available + std::min(taken, std::numeric_limits<uint64_t>::max() - available);
  return without / kAffordablePart;
}

void PageHistory::set_space(const PageSpace& space) {
  if (!blocks_.empty()) return;
  Lock lock(growing_);
  page_size_ = space.page_size;
  budget_ = std::min(most_, wanted_.value_or(default_history(space)));
  for (const uint64_t pages : space.pages_of_block) {
    auto block = std::make_unique<Block>();
    block->count = pages / kRegionPages + 1;
    block->regions = std::make_unique<std::atomic<Region*>[]>(block->count);
    used_ += block->count * sizeof(block->regions[0]);
    all_.pages += pages;
    all_.regions += block->count;
    blocks_.push_back(std::move(block));
  }
  hashes_.bytes = LazyMemory(std::min(all_.regions, budget_ / kHashBytes) * kHashBytes);
}

void PageHistory::shrink(uint64_t most) {
  Lock lock(growing_);
  most_ = std::min(most_, most);
  if (most_ >= budget_) return;
  budget_ = most_;
  if (bases_ != Bases::unknown) {
    const uint64_t room = spare(sizeof(Region) + (contents_ ? kHashBytes : 0));
    copies_->shrink(room / (page_size_ + KeptCopies::kOverhead));
    if (contents_ && room == 0) {
      used_ -= contents_->bytes();
      contents_->give_up();
    }
  }
  if (used_ > budget_) give_hashes_back();
  budget_ = std::max<uint64_t>(budget_, used_);
}

// Of the regions that were created last, until the rest fits the budget.
void PageHistory::give_hashes_back() {
  const uint8_t* first = hashes_.bytes.data() + hashes_.used;
  for (auto at = owned_.rbegin(); at != owned_.rend() && used_ > budget_; ++at) {
    const LineHashes* hashes = (*at)->hashes.exchange(nullptr);
    if (!hashes) continue;
    first = reinterpret_cast<const uint8_t*>(hashes);
    used_ -= kHashBytes;
  }
  const auto kept = static_cast<size_t>(first - hashes_.bytes.data());
  hashes_.bytes.give_back(kept, hashes_.used - kept);
}

void PageHistory::refer_to(const std::vector<uint16_t>& blocks) {
  if (bases_ != Bases::unknown) return;
  Lock lock(growing_);
  const uint64_t room = spare(sizeof(Region) + kHashBytes);
  contents_ = std::make_unique<ContentIndex>(std::min(room, all_.pages * sizeof(KnownPage)));
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

// The bytes of the budget that are left for copies if all other regions are created too.
uint64_t PageHistory::spare(uint64_t region_bytes) const {
  const uint64_t copies =
      copies_ ? copies_->bytes() : 0;  // ahead of used_, which may grow by others meanwhile
  const uint64_t besides = used_ - copies;
  return budget_ - std::min<uint64_t>(budget_, besides + (all_.regions - owned_.size()) * region_bytes);
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
  if (with_hashes && hashes_.used + kHashBytes > hashes_.bytes.size()) return nullptr;
  owned_.push_back(std::make_unique<Region>());
  Region* made = owned_.back().get();
  if (with_hashes) {
    made->hashes = reinterpret_cast<LineHashes*>(hashes_.bytes.data() + hashes_.used);
    hashes_.used += kHashBytes;
  }
  used_ += bytes;
  blocks_[block]->regions[page / kRegionPages] = made;
  return made;
}

LineHashes* PageHistory::hashes(uint16_t block, uint64_t page) {
  Region* found = grown(block, page, true);
  LineHashes* all = found ? found->hashes.load() : nullptr;
  return all ? all + page % kRegionPages : nullptr;
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
