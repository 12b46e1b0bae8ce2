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
// Thread-safe for different pages. A page is used by one thread at a time: the session encodes an epoch only
// when all earlier epochs are encoded, and a page comes at most once in an epoch. find() and landed() are
// thread-safe for all pages.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "compression/content_index.h"
#include "compression/kept_copies.h"
#include "compression/keyed_hash.h"
#include "compression/line_delta.h"
#include "compression/page_batch.h"

namespace wherry {

// Bytes for remembering pages, at either side, if the user sets no budget: a sixteenth of guest RAM plus
// 64 MiB.
uint64_t default_history(const PageSpace& space);

class PageHistory {
 public:
  // `budget` in bytes; without one, the default for the guest. Pages are hashed with `secret`.
  explicit PageHistory(std::optional<uint64_t> budget = std::nullopt,
                       const PageSecret& secret = draw_secret())
      : secret_(secret), wanted_(budget) {}

  // Sets which pages there are. To be called before any page is used; only the first call has an effect.
  void set_space(const PageSpace& space);
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
  uint64_t budget() const { return budget_; }

 private:
  static constexpr uint64_t kRegionPages = 512;
  struct Region {
    std::array<bool, kRegionPages> known{};
    // Counts changes of the content. It wraps after 256; the destination then notices the wrong reference.
    std::array<std::atomic<uint8_t>, kRegionPages> versions{};
    std::unique_ptr<LineHashes[]> hashes;  // null if pages are encoded relative to copies
  };
  static constexpr uint64_t kHashBytes = kRegionPages * sizeof(LineHashes);
  struct Block {
    std::unique_ptr<std::atomic<Region*>[]> regions;
    uint64_t count = 0;
    std::atomic<bool> readable = false;
  };

  // What the destination holds that pages can be encoded relative to.
  enum class Bases : uint8_t { unknown, memory, copies };

  Region* region(uint16_t block, uint64_t page) const;
  Region* grown(uint16_t block, uint64_t page, bool with_hashes);
  uint64_t spare(uint64_t region_bytes) const;
  void make_copies(uint64_t bytes);
  bool unchanged(const KnownPage& known) const;

  const PageSecret secret_;
  const std::optional<uint64_t> wanted_;
  std::atomic<uint64_t> budget_ = 0;
  uint32_t page_size_ = 0;
  std::vector<std::unique_ptr<Block>> blocks_;
  uint64_t pages_ = 0;    // in all blocks
  uint64_t regions_ = 0;  // in all blocks, whether created or not
  std::atomic<bool> disabled_ = false;
  std::atomic<Bases> bases_ = Bases::unknown;
  std::unique_ptr<ContentIndex> contents_;  // this and copies_ are set before bases_
  std::unique_ptr<KeptCopies> copies_;
  std::mutex growing_;
  std::vector<std::unique_ptr<Region>> owned_;
  std::atomic<uint64_t> used_ = 0;
};

}  // namespace wherry
