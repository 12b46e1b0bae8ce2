// What changed in a page, byte by byte, for a sender that kept a full copy of the page's earlier content.
//
// The encoded form, little-endian: u16 length in bytes of what follows, then ops in the order of the page
//   u16 skip     bytes to leave as they are, counted from the end of the previous op
//   u8  count    minus one, for a count of 1 to 256
//   count bytes that the page now holds there
// Bytes are replaced, not combined. So applying a patch again changes nothing, and a patch fits any base that
// equals the sender's outside the bytes that it replaces. The bytes after the last op stay as they are. A
// patch without ops is for a page that has not changed.
//
// page_size is in bytes, a power of two from 1024 to 65536. Memory must not change during a call. Nothing
// here allocates, except for the text of an error. The functions are thread-safe on separate memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"

namespace wherry {

// Writes the patch that turns `base` into `page` and returns its size, or 0 if it does not fit `out`, whose
// content is then undefined.
size_t make_patch(const uint8_t* base, const uint8_t* page, uint32_t page_size, std::span<uint8_t> out);

// How many bytes the patch at the start of `encoded` takes. Fails unless it is all there, and its ops fill
// its length exactly and stay within the page.
Result<size_t> patch_length(std::span<const uint8_t> encoded, uint32_t page_size);

// Whether the patch at the start of `encoded` is as patch_length() wants it. If not, `page` may have a part
// of it.
bool apply_patch(std::span<const uint8_t> encoded, std::span<uint8_t> page);

}  // namespace wherry
