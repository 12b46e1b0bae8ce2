// Pages for the tests of compression/: some that compress and some that do not.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <string_view>
#include <vector>

#include "compression/batch_encoder.h"

namespace wherry::test {

using Bytes = std::vector<uint8_t>;
inline constexpr uint32_t kPage = 4096;

inline Bytes random_bytes(std::mt19937_64& random, size_t size) {
  Bytes bytes(size);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

inline Bytes random_page(uint32_t seed, size_t size = kPage) {
  std::mt19937 random(seed);
  Bytes page(size);
  for (uint8_t& byte : page) byte = static_cast<uint8_t>(random());
  return page;
}

// Words in random order. They compress to a third of the size.
inline Bytes text_page(uint32_t seed, size_t size = kPage) {
  constexpr std::string_view kWords[] = {"oar ",  "mast ", "wherry ", "keel ",
                                         "tide ", "quay ", "sail ",   "rope "};
  std::mt19937 random(seed);
  Bytes page;
  while (page.size() < size) {
    const std::string_view word = kWords[random() % 8];
    page.insert(page.end(), word.begin(), word.end());
  }
  page.resize(size);
  return page;
}

// The body of a batch as it is sent: the pack, then the raw pages.
inline Bytes body_of(const EncodedBatch& encoded) {
  Bytes body;
  for (std::span<const uint8_t> part : encoded.body) body.insert(body.end(), part.begin(), part.end());
  return body;
}

}  // namespace wherry::test
