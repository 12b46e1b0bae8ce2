// Hashes by which a page, or a line of one, is taken for equal to another.
//
// They have a key, the secret of the session. Without one, whoever writes the guest's memory could make pages
// that differ and hash alike. Such a page would land as the other one, or stay what it was.
//
// Each hash is XXH3-64 under half of the secret: of a page under the first half, of a line under the second.
// Two pages hash alike by chance once in 2^64, and in 2^33 if they were made to, by somebody who does not
// know the secret. (Two words of a page that are alike under the secret in 32 of their bits can change
// together, unseen. XXH3-128 is made of the same products, so it does not see it either.) So a page that may
// stand for any other is hashed under both halves.
//
// page_size is in bytes, a power of two from 1024 to 65536. Nothing here allocates. Thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace wherry {

// XXH3 needs 136 bytes at least, and is fastest with as many as its own secret has.
inline constexpr size_t kHalfSecret = 192;
inline constexpr size_t kSecretBytes = 2 * kHalfSecret;
using PageSecret = std::array<uint8_t, kSecretBytes>;

// A new one, from the kernel.
PageSecret draw_secret();

uint64_t hash_page(const uint8_t* page, uint32_t page_size, const PageSecret& secret);

// The hashes of a page under both halves of the secret.
struct ContentHash {
  uint64_t low = 0;
  uint64_t high = 0;

  bool operator==(const ContentHash&) const = default;
};

ContentHash hash_content(const uint8_t* page, uint32_t page_size, const PageSecret& secret);

}  // namespace wherry
