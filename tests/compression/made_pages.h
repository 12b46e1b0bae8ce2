// Pages as an attacker makes them: they differ, and XXH3 hashes them alike.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "tests/compression/sample_pages.h"

namespace wherry::test {

// How XXH3's own secret begins, which it uses if it is given none.
inline constexpr std::array<uint8_t, 16> kKnownToAll = {0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe,
                                                        0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c};

// Two pages that hash alike under a secret that begins so. XXH3 mixes each word of 64 bits with one of its
// secret by exclusive or, multiplies the halves, and adds up. Here the low halves of words 0 and 8 are then
// equal, and their highest bits differ. So flipping both of these bits adds to one product what it takes from
// the other.
inline std::pair<Bytes, Bytes> made_pages(std::span<const uint8_t, 16> secret) {
  Bytes one = random_page(1);
  for (const size_t i : {0, 1, 2, 3, 7}) one[64 + i] = one[i] ^ secret[i] ^ secret[8 + i];
  one[64 + 7] ^= 0x80;
  Bytes other = one;
  other[7] ^= 0x80;
  other[64 + 7] ^= 0x80;
  return {one, other};
}

}  // namespace wherry::test
