#include "compression/page_reference.h"

#include <cstring>

#include "base/bytes.h"

namespace wherry {
namespace {

// Another thread may be overwriting the page. The copy is then a mixture, and its hash does not match.
__attribute__((no_sanitize("thread"))) void copy_changing(const uint8_t* from, uint32_t size, uint8_t* out) {
  using Word = uint64_t __attribute__((may_alias));
  const auto* const words = reinterpret_cast<const volatile Word*>(from);
  for (uint32_t at = 0; at < size / sizeof(Word); ++at) {
    const uint64_t word = words[at];
    std::memcpy(out + at * sizeof word, &word, sizeof word);
  }
}

}  // namespace

void put_reference(const PageReference& reference, uint8_t* out) {
  put_le(out, reference.block, 2);
  put_le(out + 2, reference.page, 6);
  put_le(out + 8, reference.content.low, 8);
  put_le(out + 16, reference.content.high, 8);
}

PageReference get_reference(const uint8_t* in) {
  return {static_cast<uint16_t>(get_le(in, 2)), get_le(in + 2, 6), {get_le(in + 8, 8), get_le(in + 16, 8)}};
}

bool copy_referred(const uint8_t* from, const ContentHash& content, uint32_t page_size,
                   const PageSecret& secret, uint8_t* out) {
  if (from != out) copy_changing(from, page_size, out);
  return hash_content(out, page_size, secret) == content;
}

}  // namespace wherry
