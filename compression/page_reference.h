// A page said by naming another one, which the receiver holds and which is equal to it.
//
// The encoded form, little-endian:
//   u16  block
//   u48  index of the other page
//   u128 XXH3-128 (seed 0) of the page
// What the sender knows of the other page can be out of date, hence the hash.
//
// Nothing here allocates; all functions may be called by any thread.
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

// `out` has kReferenceBytes, as has `in`.
void put_reference(const PageReference& reference, uint8_t* out);
PageReference get_reference(const uint8_t* in);

// Copies the page `from`, which others may be changing, to `out`, or leaves it where it is if that is the
// same. Whether `out` is the page that was meant.
bool copy_referred(const uint8_t* from, const ContentHash& content, uint32_t page_size, uint8_t* out);

}  // namespace wherry
