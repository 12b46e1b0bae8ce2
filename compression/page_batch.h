// Guest pages as they travel: which pages of which RAM blocks, and where their bytes are.
//
// A batch lists its pages as runs. The bytes of pages that are not zero are views into memory that the batch
// does not own (a slot, or guest RAM itself) and that must outlive it. A page's index counts pages of
// PageSpace::page_size bytes from the start of its block. A block's number is its position in PageSpace.
//
// A batch that came over the wire has pages that are not whole yet (batch_decoder.h). Their views lie in its
// pack, to which nobody may write any more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace wherry {

// Limits of one batch: bytes of pages (zero pages have none), pages, and runs.
inline constexpr uint32_t kBatchBytes = 512 * 1024;
inline constexpr uint32_t kBatchPages = 64 * 1024;
inline constexpr uint32_t kBatchRuns = 1024;

// How the bytes of a page reach the other side. The numbers are those of the wire format.
enum class PageKind : uint8_t {
  zero = 0,
  raw = 1,
  packed = 2,  // in the pack: the page as it is
  lines = 3,   // in the pack: the lines that have changed (line_delta.h)
  patch = 4,   // in the pack: the bytes that have changed (page_patch.h)
  same = 5,    // in the pack: where an equal page is (page_reference.h)
  keep = 6,    // in the pack: the place for a copy of it (copy_mirror.h), then the page as it is
  kept = 7,    // in the pack: the place of its copy, then the bytes that have changed since
};
inline constexpr PageKind kLastPageKind = PageKind::kept;

inline bool is_delta(PageKind kind) {
  return kind == PageKind::lines || kind == PageKind::patch || kind == PageKind::kept;
}

// Whether the page is encoded relative to a page that the other side holds.
inline bool is_reference(PageKind kind) {
  return is_delta(kind) || kind == PageKind::same;
}

// Lengths in bytes of what precedes a patch or a page to be kept, both little-endian: the place of the copy,
// and hash_page() of the whole page as it is now (keyed_hash.h).
inline constexpr size_t kPlaceBytes = 4;
inline constexpr size_t kSumBytes = 8;

struct PageRun {
  uint16_t block = 0;
  PageKind kind = PageKind::zero;
  uint32_t count = 0;
  uint64_t first = 0;  // index of the first page; the run is first … first + count - 1

  bool operator==(const PageRun&) const = default;
};

// Guest memory as pages: the page size in bytes and, for each block, how many pages it has.
struct PageSpace {
  uint32_t page_size = 0;
  std::vector<uint64_t> pages_of_block;

  bool contains(const PageRun& run) const {
    if (run.block >= pages_of_block.size()) return false;
    uint64_t pages = pages_of_block[run.block];
    return run.count > 0 && run.first < pages && run.count <= pages - run.first;
  }
};

struct PageBatch {
  uint32_t page_size = 0;
  std::vector<PageRun> runs;
  std::vector<const uint8_t*> data;  // one for each page that is not zero, in order
  const uint8_t* sums = nullptr;     // digest of each page in `data` (page_digest.h); null: not sent
  std::span<const uint8_t> pack;     // where the pages lie that are not raw, until they are whole

  bool empty() const { return runs.empty(); }
  uint32_t page_count() const { return pages_; }
  uint64_t bytes() const { return uint64_t{pages_} * page_size; }

  // Adds one page; `bytes` is its content, or null for a zero page.
  void add(uint16_t block, uint64_t index, const uint8_t* bytes);
  void add_run(const PageRun& run);
  // Whether one more page still fits.
  bool has_room() const;
  void clear();

  // Calls visit(block, index, bytes) for each page in order; bytes is null for a zero page.
  template <class Visit>
  void each(Visit&& visit) const {
    size_t next = 0;
    for (const PageRun& run : runs) {
      for (uint32_t i = 0; i < run.count; ++i) {
        visit(run.block, run.first + i, run.kind == PageKind::zero ? nullptr : data[next++]);
      }
    }
  }

 private:
  uint32_t pages_ = 0;
};

}  // namespace wherry
