#include "compression/zero_scan.h"

#include <vector>

#include "compression/word.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace wherry {
namespace {

bool portable_is_zero(std::span<const uint8_t> bytes) {
  const uint8_t* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= 64; at += 64, left -= 64) {
    uint64_t any = 0;
    for (int i = 0; i < 8; ++i) any |= word_at(at + 8 * i);
    if (any != 0) return false;
  }
  for (; left > 0; ++at, --left) {
    if (*at != 0) return false;
  }
  return true;
}

#ifdef __x86_64__

__attribute__((target("avx2"))) bool avx2_is_zero(std::span<const uint8_t> bytes) {
  const uint8_t* at = bytes.data();
  size_t left = bytes.size();
  auto load = [&](int i) __attribute__((target("avx2"))) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at) + i);
  };
  for (; left >= 128; at += 128, left -= 128) {
    __m256i any = _mm256_or_si256(_mm256_or_si256(load(0), load(1)), _mm256_or_si256(load(2), load(3)));
    if (!_mm256_testz_si256(any, any)) return false;
  }
  return portable_is_zero({at, left});
}

__attribute__((target("avx512f"))) bool avx512_is_zero(std::span<const uint8_t> bytes) {
  const uint8_t* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= 256; at += 256, left -= 256) {
    __m512i any =
        _mm512_or_si512(_mm512_or_si512(_mm512_loadu_si512(at), _mm512_loadu_si512(at + 64)),
                        _mm512_or_si512(_mm512_loadu_si512(at + 128), _mm512_loadu_si512(at + 192)));
    if (_mm512_test_epi64_mask(any, any) != 0) return false;
  }
  return portable_is_zero({at, left});
}

#endif

std::vector<ZeroScan> supported_scans() {
  std::vector<ZeroScan> scans;
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx512f")) scans.push_back({"avx512", avx512_is_zero});
  if (__builtin_cpu_supports("avx2")) scans.push_back({"avx2", avx2_is_zero});
#endif
  scans.push_back({"portable", portable_is_zero});
  return scans;
}

}  // namespace

std::span<const ZeroScan> zero_scans() {
  static const std::vector<ZeroScan> scans = supported_scans();
  return scans;
}

bool is_zero(std::span<const uint8_t> bytes) {
  static const auto best = zero_scans().front().is_zero;
  return best(bytes);
}

}  // namespace wherry
