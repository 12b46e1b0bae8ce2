// A page that is sent as a reference to an equal page, which the receiver holds.
//
// The encoded form, little-endian:
//   u16  block
//   u48  index of the other page
//   u128 XXH3-128 (seed 0) of the page
// What the sender knows of the other page can be out of date, so the receiver checks the hash.
//
// Nothing here allocates. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

namespace wherry {

inline constexpr size_t kReferenceBytes = 24;

struct ContentHash {
  uint64_t low = 0;
  uint64_t high = 0;

  bool operator==(const ContentHash&) const = default;
};

ContentHash hash_content(const uint8_t* page, uint32_t page_size);

struct PageReference {
  uint16_t block = 0;
  uint64_t page = 0;
  ContentHash content;

  bool operator==(const PageReference&) const = default;
};

// `out` and `in` have kReferenceBytes.
void put_reference(const PageReference& reference, uint8_t* out);
PageReference get_reference(const uint8_t* in);

// Copies the page at `from` to `out`, unless they are the same. Other threads may be changing it meanwhile.
// Returns whether `out` has the content `content`.
bool copy_referred(const uint8_t* from, const ContentHash& content, uint32_t page_size, uint8_t* out);

}  // namespace wherry
