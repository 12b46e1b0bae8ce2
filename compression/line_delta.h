// What changed in a page, for a sender that kept only hashes of the page's earlier content.
//
// A page is 64 lines of page_size / 64 bytes. The sender keeps 24 bits of hash for each line (a twentieth of
// guest memory at 4 KiB pages) and sends the lines whose hash differs. One in 2^24 changes to a line goes
// unseen. So a hash of the whole page is sent too: a page that comes out wrong is noticed, and has to be sent
// again in full.
//
// The encoded form of a page, little-endian:
//   u64 bitmap   bit i set: line i follows
//   u64 sum      hash_page() of the whole new page (keyed_hash.h)
//   the lines that follow, in order
//
// page_size is in bytes, a power of two from 1024 to 65536. A page must not change during a call, nor between
// changed_lines() and put_lines(). Nothing here allocates, except for the text of an error. The functions are
// thread-safe on separate memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "compression/keyed_hash.h"

namespace wherry {

inline constexpr uint32_t kPageLines = 64;

// The hashes of the lines of one page, under the second half of the secret. Another build may compute them
// differently, so they are not for the wire.
struct LineHashes {
  // Bits 0 to 15 of each hash in `low`, 16 to 23 in `high`.
  std::array<uint16_t, kPageLines> low;
  std::array<uint8_t, kPageLines> high;

  bool operator==(const LineHashes&) const = default;
};
static_assert(sizeof(LineHashes) == kPageLines * 3);

void hash_lines(const uint8_t* page, uint32_t page_size, const PageSecret& secret, LineHashes& hashes);

// Returns the bitmap of the lines that differ from `hashes`, and sets `hashes` to those of `page`.
uint64_t changed_lines(const uint8_t* page, uint32_t page_size, const PageSecret& secret, LineHashes& hashes);

// How many bytes put_lines() writes.
size_t lines_size(uint64_t bitmap, uint32_t page_size);
void put_lines(const uint8_t* page, uint32_t page_size, uint64_t bitmap, const PageSecret& secret,
               uint8_t* out);

// How many bytes the encoded page at the start of `encoded` takes. Fails if they are not all there.
Result<size_t> lines_length(std::span<const uint8_t> encoded, uint32_t page_size);

// Writes `base` with its changed lines replaced to `out`. `out` can be `base`, but must not overlap it
// otherwise. Returns whether `encoded` begins with all of those lines and the result is the page that was
// sent; if not, `out` may hold a page that never existed. Applying it again to its result changes nothing.
bool apply_lines(std::span<const uint8_t> encoded, const uint8_t* base, uint32_t page_size,
                 const PageSecret& secret, uint8_t* out);

}  // namespace wherry
