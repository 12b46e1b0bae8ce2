// The SHA-256 of a page, by which the destination checks what came (`verify=on`). Nobody can make two pages
// with the same.
//
// OpenSSL computes it. Each thread keeps the memory that it needs for that. Thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/result.h"

namespace wherry {

inline constexpr size_t kDigestBytes = 32;
using PageDigest = std::array<uint8_t, kDigestBytes>;

// Fails if this machine's OpenSSL offers no SHA-256, or for want of memory.
Result<PageDigest> digest_page(const uint8_t* page, uint32_t page_size);

}  // namespace wherry
