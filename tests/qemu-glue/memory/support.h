// What the tests of guest memory share.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace wherry::test {

inline constexpr uint64_t kGuestPage = 4096;

// Bytes of which none is zero.
inline std::vector<uint8_t> pattern(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> bytes(size);
  for (auto& byte : bytes) byte = static_cast<uint8_t>(1 + random() % 255);
  return bytes;
}

}  // namespace wherry::test
