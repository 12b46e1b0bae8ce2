// What changed in a page, byte for byte, for a sender that kept a full copy of what the page was.
//
// The encoded form, little-endian: u16 length of what follows, then ops in the order of the page
//   u16 skip     bytes to leave as they are, counted from the end of the op before
//   u8  count    less one, so 1 … 256
//   count bytes that the page now holds there
// Bytes are replaced, not combined: a patch applied once more changes nothing, and it fits any base that is
// like the sender's outside the bytes it names. The bytes after the last op stay; no op at all is a page
// unchanged.
//
// page_size is in bytes, a power of two from 1024 to 65536. Memory must not change during a call. Nothing
// here allocates, except for the text of an error; all functions may be called by any thread on memory of its
// own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"

namespace wherry {

// Writes the patch that turns `base` into `page` and returns its size, or 0 if it does not fit `out`, whose
// content is then undefined.
size_t make_patch(const uint8_t* base, const uint8_t* page, uint32_t page_size, std::span<uint8_t> out);

// How many bytes the patch at the start of `encoded` takes; fails unless it is all there, its ops fill its
// length exactly and stay within a page.
Result<size_t> patch_length(std::span<const uint8_t> encoded, uint32_t page_size);

// `encoded` must have passed patch_length() for a page of this size or less.
void apply_patch(const uint8_t* encoded, uint8_t* page);

}  // namespace wherry
