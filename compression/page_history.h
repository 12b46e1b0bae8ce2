// What the destination holds of each page, as far as the source remembers it: hashes of the lines of every
// page, and full copies of those that come back most. A page that comes again is sent as what changed since,
// and one that is equal to another as a reference to that. Where the destination cannot read what it was
// sent, because it relays the pages, it keeps copies as well, and only pages with a copy are told by what
// changed.
//
// Memory is never more than the budget. What is remembered of a page is taken in regions of 512 pages, when
// one of them is first remembered, and comes first; pages of regions that do not fit are not remembered. What
// all regions of the guest would leave is for the index of contents, one entry a page, and then for copies.
// Where the destination relays, there is no index, and hashes are taken only until that is known.
//
// Thread-safe for different pages. One page is used by one thread at a time: the session encodes an epoch
// only when all before it is encoded, and a page comes once in an epoch. find() and landed() may be called by
// any thread.
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
#include "compression/line_delta.h"
#include "compression/page_batch.h"

namespace wherry {

// How much memory to remember pages with, at either side, if nobody says: a sixteenth of the guest and 64
// MiB.
uint64_t default_history(const PageSpace& space);

class PageHistory {
 public:
  // `budget` in bytes; without one, the default for the guest.
  explicit PageHistory(std::optional<uint64_t> budget = std::nullopt) : wanted_(budget) {}

  // What pages there are: before pages are asked for. Counts once.
  void set_space(const PageSpace& space);
  uint32_t page_size() const { return page_size_; }

  // The destination can read what it was sent of these blocks: numbers without a block are ignored. Counts
  // once, for this and the next.
  void refer_to(const std::vector<uint16_t>& blocks);
  // The destination relays all pages and keeps up to `most` copies of them.
  void refer_to_copies(uint64_t most);
  // Ends all referring and remembering: pages may reach the destination's VMM past the session's order.
  void disable() { disabled_ = true; }
  bool disabled() const { return disabled_; }

  // Whether pages are told by the copies that the destination keeps, and by nothing else.
  bool by_copies() const { return bases_ == Bases::copies; }
  // Whether there is room to remember the page.
  bool has_room(uint16_t block, uint64_t page) { return grown(block, page, false); }
  // The line hashes of a page, to be read and replaced; null if there is no room for them.
  LineHashes* hashes(uint16_t block, uint64_t page);
  // Whether the destination can read what it was sent of the block.
  bool readable(uint16_t block) const { return blocks_[block]->readable; }
  // Whether the line hashes are those of what the destination holds, and it can read that.
  bool refers(uint16_t block, uint64_t page) const;
  // Whether the page was remembered before.
  bool knows(uint16_t block, uint64_t page) const;
  // There once it is known what the destination has to refer to.
  KeptCopies& copies() { return *copies_; }
  // hashes() now holds what is being sent of the page; `changed`, if it is not what was sent before.
  void remember(uint16_t block, uint64_t page, bool changed = true);
  void forget(uint16_t block, uint64_t first, uint64_t count);

  // A page that was just remembered, with what it holds.
  KnownPage known(uint64_t content, uint16_t block, uint64_t page) const;
  // The destination has placed these pages, of blocks that it can read.
  void landed(std::span<const KnownPage> pages);
  // A page that landed with that content, and of which nothing else was sent since.
  std::optional<KnownPage> find(uint64_t content) const;

  uint64_t bytes() const { return used_; }
  uint64_t budget() const { return budget_; }

 private:
  static constexpr uint64_t kRegionPages = 512;
  struct Region {
    std::array<bool, kRegionPages> known{};
    // Other ones for other content; one that comes round again after 256 is caught by the destination.
    std::array<std::atomic<uint8_t>, kRegionPages> versions{};
    std::unique_ptr<LineHashes[]> hashes;  // none where pages are told by copies
  };
  static constexpr uint64_t kHashBytes = kRegionPages * sizeof(LineHashes);
  struct Block {
    std::unique_ptr<std::atomic<Region*>[]> regions;
    uint64_t count = 0;
    std::atomic<bool> readable = false;
  };

  // What the destination has to refer to, as far as it is known.
  enum class Bases : uint8_t { unknown, memory, copies };

  Region* region(uint16_t block, uint64_t page) const;
  Region* grown(uint16_t block, uint64_t page, bool with_hashes);
  uint64_t spare(uint64_t region_bytes) const;
  void make_copies(uint64_t bytes);
  bool unchanged(const KnownPage& known) const;

  const std::optional<uint64_t> wanted_;
  std::atomic<uint64_t> budget_ = 0;
  uint32_t page_size_ = 0;
  std::vector<std::unique_ptr<Block>> blocks_;
  uint64_t pages_ = 0;    // of all blocks,
  uint64_t regions_ = 0;  // and their regions
  std::atomic<bool> disabled_ = false;
  std::atomic<Bases> bases_ = Bases::unknown;
  std::unique_ptr<ContentIndex> contents_;  // this and copies_ are set before bases_
  std::unique_ptr<KeptCopies> copies_;
  std::mutex growing_;
  std::vector<std::unique_ptr<Region>> owned_;
  std::atomic<uint64_t> used_ = 0;
};

}  // namespace wherry
