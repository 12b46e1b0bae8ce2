// A page that is sent as a reference to an equal page, which the receiver holds.
//
// The encoded form, little-endian:
//   u16  block
//   u48  index of the other page
//   u128 hash_content() of the page (keyed_hash.h)
// What the sender knows of the other page can be out of date, so the receiver checks the hash.
//
// Nothing here allocates. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "compression/keyed_hash.h"

namespace wherry {

inline constexpr size_t kReferenceBytes = 24;

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
bool copy_referred(const uint8_t* from, const ContentHash& content, uint32_t page_size,
                   const PageSecret& secret, uint8_t* out);

}  // namespace wherry
