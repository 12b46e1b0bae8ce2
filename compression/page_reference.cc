#include "compression/page_reference.h"

#include <xxhash.h>

#include <cstring>

namespace wherry {
namespace {

void put(uint64_t value, size_t bytes, uint8_t* out) {
  for (size_t i = 0; i < bytes; ++i) out[i] = static_cast<uint8_t>(value >> (8 * i));
}

uint64_t get(const uint8_t* in, size_t bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; ++i) value |= uint64_t{in[i]} << (8 * i);
  return value;
}

// The page may be replaced at the same time: the copy is then of no page at all, and its hash says so.
__attribute__((no_sanitize("thread"))) void copy_changing(const uint8_t* from, uint32_t size, uint8_t* out) {
  using Word = uint64_t __attribute__((may_alias));
  const auto* const words = reinterpret_cast<const volatile Word*>(from);
  for (uint32_t at = 0; at < size / sizeof(Word); ++at) {
    const uint64_t word = words[at];
    std::memcpy(out + at * sizeof word, &word, sizeof word);
  }
}

}  // namespace

ContentHash hash_content(const uint8_t* page, uint32_t page_size) {
  const XXH128_hash_t hash = XXH3_128bits(page, page_size);
  return {hash.low64, hash.high64};
}

void put_reference(const PageReference& reference, uint8_t* out) {
  put(reference.block, 2, out);
  put(reference.page, 6, out + 2);
  put(reference.content.low, 8, out + 8);
  put(reference.content.high, 8, out + 16);
}

PageReference get_reference(const uint8_t* in) {
  return {static_cast<uint16_t>(get(in, 2)), get(in + 2, 6), {get(in + 8, 8), get(in + 16, 8)}};
}

bool copy_referred(const uint8_t* from, const ContentHash& content, uint32_t page_size, uint8_t* out) {
  if (from != out) copy_changing(from, page_size, out);
  return hash_content(out, page_size) == content;
}

}  // namespace wherry
