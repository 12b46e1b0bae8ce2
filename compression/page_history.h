// What the source remembers of the pages that the destination holds: hashes of the lines of every page, and
// full copies of the pages that come back most. A page that is sent again is sent as what changed since. A
// page that is equal to another is sent as a reference to that. A destination that relays pages cannot read
// them afterwards. So it keeps copies as well, and only pages with a copy are sent as what changed.
//
// Memory never exceeds the budget. What is remembered of pages has precedence. It is allocated in regions of
// 512 pages, each when the first of its pages is remembered. Pages of regions that do not fit are not
// remembered. Whatever all regions of the guest together would leave is for the index of contents, one entry
// a page, and then for copies. If the destination relays, there is no index, and regions have hashes only if
// they were created before that was known.
//
// The budget can shrink at any time (shrink()). Then copies go first, then the index, and then the hashes of
// regions, and what is forgotten is sent whole. The destination need not be told: it uses what it holds only
// for pages that refer to it. Of a region without hashes it is still known which of its contents the
// destination has, so that others can refer to them until the page is sent again. A thread that is encoding a
// page may find its hashes zero all of a sudden, or write some that nobody will read: zero says that all
// lines have changed, and the hash of the whole page guards against what is left of chance.
//
// Thread-safe for different pages. A page is used by one thread at a time: the session encodes an epoch only
// when all earlier epochs are encoded, and a page comes at most once in an epoch. find(), landed() and
// shrink() are thread-safe for all pages.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/lazy_memory.h"
#include "base/mutex.h"
#include "compression/content_index.h"
#include "compression/kept_copies.h"
#include "compression/keyed_hash.h"
#include "compression/line_delta.h"
#include "compression/page_batch.h"

namespace wherry {

// Bytes for remembering pages, at either side, if the user sets no budget: a sixteenth of guest RAM plus
// 64 MiB.
uint64_t default_history(const PageSpace& space);
// The most that either side takes for that, however much it is to be: a quarter of the memory that this
// process would have left if it had not taken `taken` for it already.
uint64_t affordable_history(uint64_t taken);

class PageHistory {
 public:
  // `budget` in bytes; without one, the default for the guest. Pages are hashed with `secret`.
  explicit PageHistory(std::optional<uint64_t> budget = std::nullopt,
                       const PageSecret& secret = draw_secret())
      : secret_(secret), wanted_(budget) {}

  // Sets which pages there are. To be called before any page is used; only the first call has an effect.
  void set_space(const PageSpace& space);
  // From now on, the budget is at most so many bytes; or as many as cannot be given back, which are about two
  // for each page that was remembered.
  void shrink(uint64_t most);
  uint32_t page_size() const { return page_size_; }
  const PageSecret& secret() const { return secret_; }

  // The destination can read the pages of these blocks that it was sent. Numbers without a block are ignored.
  // Only the first call of this or of refer_to_copies() has an effect.
  void refer_to(const std::vector<uint16_t>& blocks);
  // The destination relays all pages and keeps up to `most` copies of them.
  void refer_to_copies(uint64_t most);
  // From now on, no page is remembered or encoded relative to another, because pages may reach the
  // destination's VMM outside the session's order.
  void disable() { disabled_ = true; }
  bool disabled() const { return disabled_; }

  // Whether the copies that the destination keeps are all that pages can be encoded relative to.
  bool by_copies() const { return bases_ == Bases::copies; }
  // Makes room to remember the page. False if there is none.
  bool has_room(uint16_t block, uint64_t page) { return grown(block, page, false); }
  // The line hashes of a page, to be read and replaced; null if there is no room for them.
  LineHashes* hashes(uint16_t block, uint64_t page);
  // Whether the destination can read what it was sent of the block.
  bool readable(uint16_t block) const { return blocks_[block]->readable; }
  // Whether the destination can read the page, and the line hashes are those of what it holds.
  bool refers(uint16_t block, uint64_t page) const;
  // Whether the page was remembered before.
  bool knows(uint16_t block, uint64_t page) const;
  // Exists only after refer_to() or refer_to_copies().
  KeptCopies& copies() { return *copies_; }
  // The page is being sent, and hashes() are those of what is sent. `changed`: it is not what was sent
  // before.
  void remember(uint16_t block, uint64_t page, bool changed = true);
  void forget(uint16_t block, uint64_t first, uint64_t count);

  // A page that was just remembered, with its content.
  KnownPage known(uint64_t content, uint16_t block, uint64_t page) const;
  // The destination has placed these pages, of blocks that it can read.
  void landed(std::span<const KnownPage> pages);
  // A page that landed with this content and was not sent with another since.
  std::optional<KnownPage> find(uint64_t content) const;

  uint64_t bytes() const { return used_; }
  // 0 before set_space().
  uint64_t budget() const { return budget_; }

 private:
  static constexpr uint64_t kRegionPages = 512;
  struct Region {
    std::array<bool, kRegionPages> known{};
    // Counts changes of the content. It wraps after 256; the destination then notices the wrong reference.
    std::array<std::atomic<uint8_t>, kRegionPages> versions{};
    // In hashes_. Null if pages are encoded relative to copies, and when they were given back.
    std::atomic<LineHashes*> hashes = nullptr;
  };
  static constexpr uint64_t kHashBytes = kRegionPages * sizeof(LineHashes);
  struct HashMemory {
    LazyMemory bytes;   // for as many regions as fit the budget
    uint64_t used = 0;  // the next region has what follows; what was given back is not used again
  };
  // Of all blocks together.
  struct Extent {
    uint64_t pages = 0;
    uint64_t regions = 0;  // whether created or not
  };
  struct Block {
    std::unique_ptr<std::atomic<Region*>[]> regions;
    uint64_t count = 0;
    std::atomic<bool> readable = false;
  };

  // What the destination holds that pages can be encoded relative to.
  enum class Bases : uint8_t { unknown, memory, copies };

  Region* region(uint16_t block, uint64_t page) const;
  Region* grown(uint16_t block, uint64_t page, bool with_hashes);
  uint64_t spare(uint64_t region_bytes) const WHERRY_REQUIRES(growing_);
  void make_copies(uint64_t bytes) WHERRY_REQUIRES(growing_);
  void give_hashes_back() WHERRY_REQUIRES(growing_);
  bool unchanged(const KnownPage& known) const;

  const PageSecret secret_;
  const std::optional<uint64_t> wanted_;
  uint64_t most_ WHERRY_GUARDED_BY(growing_) = std::numeric_limits<uint64_t>::max();  // by shrink()
  std::atomic<uint64_t> budget_ = 0;
  uint32_t page_size_ = 0;
  std::vector<std::unique_ptr<Block>> blocks_;
  Extent all_;
  std::atomic<bool> disabled_ = false;
  std::atomic<Bases> bases_ = Bases::unknown;
  std::unique_ptr<ContentIndex> contents_;  // this and copies_ are set before bases_
  std::unique_ptr<KeptCopies> copies_;
  Mutex growing_;  // and shrinking
  std::vector<std::unique_ptr<Region>> owned_ WHERRY_GUARDED_BY(growing_);
  HashMemory hashes_ WHERRY_GUARDED_BY(growing_);
  std::atomic<uint64_t> used_ = 0;
};

}  // namespace wherry
