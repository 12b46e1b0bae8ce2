#include "compression/line_delta.h"

#include <bit>
#include <cstring>
#include <type_traits>

// Inlined, the hash of a line is a few multiplications instead of a call.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/bytes.h"
#include "compression/bit_runs.h"

namespace wherry {
namespace {

constexpr size_t kHeadBytes = 16;

// LineSize is an integer, or a constant for which the compiler can unroll the hash.
template <class LineSize>
uint64_t replace_hashes(const uint8_t* page, LineSize line_size, const PageSecret& secret,
                        LineHashes& hashes) {
  uint64_t changed = 0;
  for (uint32_t i = 0; i < kPageLines; ++i) {
    uint64_t hash =
        XXH3_64bits_withSecret(page + i * line_size, line_size, secret.data() + kHalfSecret, kHalfSecret);
    auto low = static_cast<uint16_t>(hash);
    auto high = static_cast<uint8_t>(hash >> 16);
    uint64_t differs = (hashes.low[i] ^ low) | (hashes.high[i] ^ high);
    changed |= static_cast<uint64_t>(differs != 0) << i;
    hashes.low[i] = low;
    hashes.high[i] = high;
  }
  return changed;
}

}  // namespace

void hash_lines(const uint8_t* page, uint32_t page_size, const PageSecret& secret, LineHashes& hashes) {
  hashes = {};
  changed_lines(page, page_size, secret, hashes);
}

uint64_t changed_lines(const uint8_t* page, uint32_t page_size, const PageSecret& secret,
                       LineHashes& hashes) {
  if (page_size == 4096) return replace_hashes(page, std::integral_constant<uint32_t, 64>{}, secret, hashes);
  return replace_hashes(page, page_size / kPageLines, secret, hashes);
}

size_t lines_size(uint64_t bitmap, uint32_t page_size) {
  return kHeadBytes + static_cast<size_t>(std::popcount(bitmap)) * (page_size / kPageLines);
}

void put_lines(const uint8_t* page, uint32_t page_size, uint64_t bitmap, const PageSecret& secret,
               uint8_t* out) {
  const uint32_t line_size = page_size / kPageLines;
  put_le(out, bitmap);
  put_le<uint64_t>(out + 8, hash_page(page, page_size, secret));
  out += kHeadBytes;
  each_bit_run(bitmap, [&](uint32_t first, uint32_t count) {
    std::memcpy(out, page + first * line_size, count * line_size);
    out += count * line_size;
  });
}

Result<size_t> lines_length(std::span<const uint8_t> encoded, uint32_t page_size) {
  if (encoded.size() < kHeadBytes) return fail("a page sent as changed lines is cut short");
  const size_t length = lines_size(get_le<uint64_t>(encoded.data()), page_size);
  if (length > encoded.size()) return fail("a page sent as changed lines is cut short");
  return length;
}

bool apply_lines(std::span<const uint8_t> encoded, const uint8_t* base, uint32_t page_size,
                 const PageSecret& secret, uint8_t* out) {
  if (encoded.size() < kHeadBytes) return false;
  const auto bitmap = get_le<uint64_t>(encoded.data());
  if (encoded.size() < lines_size(bitmap, page_size)) return false;
  const uint32_t line_size = page_size / kPageLines;
  const uint8_t* lines = encoded.data() + kHeadBytes;
  if (out != base) std::memcpy(out, base, page_size);
  each_bit_run(bitmap, [&](uint32_t first, uint32_t count) {
    std::memcpy(out + first * line_size, lines, count * line_size);
    lines += count * line_size;
  });
  return hash_page(out, page_size, secret) == get_le<uint64_t>(&encoded[8]);
}

}  // namespace wherry
