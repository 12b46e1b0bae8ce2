// Finding out what to send of a page, and rebuilding it: zero scan, hashes, line deltas, patches. The results
// are bytes of pages a second on one core. Pages are taken in turn from 64 MiB, more than fits the caches
// next to the core. Pages that changed did so in 64 bytes at a random place.
#include <benchmark/benchmark.h>

#include <random>
#include <span>
#include <string>
#include <vector>

#include "compression/keyed_hash.h"
#include "compression/line_delta.h"
#include "compression/page_digest.h"
#include "compression/page_patch.h"
#include "compression/zero_scan.h"

namespace wherry {
namespace {

constexpr uint32_t kPageSize = 4096;
constexpr uint32_t kChange = 64;
constexpr int64_t kInCache = 4;
constexpr int64_t kMany = (64 << 20) / kPageSize;

struct alignas(kPageSize) Page {
  uint8_t bytes[kPageSize];
};
using Pages = std::vector<Page>;

const PageSecret kSecret = draw_secret();

// Calls visit(i) for one page in each iteration, for all pages in turn, over and over.
template <class Visit>
void visit_pages(benchmark::State& state, size_t count, Visit&& visit) {
  size_t i = 0;
  for (auto _ : state) {
    visit(i);
    if (++i == count) i = 0;
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * kPageSize);
}

// The least that reading all of a page costs: its 64-bit words are added up with the widest registers.
#ifdef __x86_64__
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
uint64_t
sum_of_words(const uint8_t* page) {
  using Words = uint64_t __attribute__((vector_size(64), aligned(8), may_alias));
  const auto* words = reinterpret_cast<const Words*>(page);
  Words a = {};
  Words b = {};
  Words c = {};
  Words d = {};
  for (uint32_t i = 0; i < kPageSize / sizeof(Words); i += 4) {
    a += words[i];
    b += words[i + 1];
    c += words[i + 2];
    d += words[i + 3];
  }
  const Words sum = a + b + c + d;
  uint64_t total = 0;
  for (int i = 0; i < 8; ++i) total += sum[i];
  return total;
}

void read_plainly(benchmark::State& state) {
  const Pages pages(state.range(0));
  visit_pages(state, pages.size(), [&](size_t i) { benchmark::DoNotOptimize(sum_of_words(pages[i].bytes)); });
}
BENCHMARK(read_plainly)->Arg(kInCache)->Arg(kMany);

void zero_scan(benchmark::State& state) {
  const Pages pages(state.range(0));
  visit_pages(state, pages.size(), [&](size_t i) { benchmark::DoNotOptimize(is_zero(pages[i].bytes)); });
}
BENCHMARK(zero_scan)->Arg(kInCache)->Arg(kMany);

// The implementation at this position of zero_scans().
void zero_scan_variant(benchmark::State& state) {
  const auto index = static_cast<size_t>(state.range(1));
  if (index >= zero_scans().size()) return state.SkipWithError("not on this machine");
  const ZeroScan& variant = zero_scans()[index];
  state.SetLabel(std::string(variant.name));
  const Pages pages(state.range(0));
  visit_pages(state, pages.size(),
              [&](size_t i) { benchmark::DoNotOptimize(variant.is_zero(std::span(pages[i].bytes))); });
}
BENCHMARK(zero_scan_variant)->ArgsProduct({{kInCache, kMany}, {0, 1, 2}});

// Pages of random bytes, before and after a change to each.
struct Change {
  Pages before = Pages(kMany);
  Pages after;

  Change() {
    std::mt19937_64 random(1);
    for (Page& page : before) {
      for (uint8_t& byte : page.bytes) byte = static_cast<uint8_t>(random());
    }
    after = before;
    for (Page& page : after) {
      uint8_t* place = page.bytes + random() % (kPageSize - kChange);
      for (uint32_t i = 0; i < kChange; ++i) place[i] = static_cast<uint8_t>(random());
    }
  }
};

const Change& change() {
  static const Change change;
  return change;
}

void zero_scan_of_data(benchmark::State& state) {
  const Pages& pages = change().before;
  visit_pages(state, kMany, [&](size_t i) { benchmark::DoNotOptimize(is_zero(pages[i].bytes)); });
}
BENCHMARK(zero_scan_of_data);

void line_hash(benchmark::State& state) {
  LineHashes hashes;
  visit_pages(state, kMany, [&](size_t i) {
    hash_lines(change().after[i].bytes, kPageSize, kSecret, hashes);
    benchmark::DoNotOptimize(hashes);
  });
}
BENCHMARK(line_hash);

void content_hash(benchmark::State& state) {
  visit_pages(state, kMany, [&](size_t i) {
    benchmark::DoNotOptimize(hash_content(change().after[i].bytes, kPageSize, kSecret));
  });
}
BENCHMARK(content_hash);

void digest(benchmark::State& state) {
  visit_pages(state, kMany, [&](size_t i) {
    benchmark::DoNotOptimize(digest_page(change().after[i].bytes, kPageSize).has_value());
  });
}
BENCHMARK(digest);

void line_encode(benchmark::State& state) {
  std::vector<LineHashes> hashes(kMany);
  for (size_t i = 0; i < kMany; ++i) hash_lines(change().before[i].bytes, kPageSize, kSecret, hashes[i]);
  std::vector<uint8_t> out(lines_size(~uint64_t{0}, kPageSize));
  // Takes both versions in turn, so that a page has changed each time it comes.
  const Pages* now = &change().before;
  visit_pages(state, kMany, [&](size_t i) {
    if (i == 0) now = now == &change().after ? &change().before : &change().after;
    const uint8_t* page = (*now)[i].bytes;
    put_lines(page, kPageSize, changed_lines(page, kPageSize, kSecret, hashes[i]), kSecret, out.data());
    benchmark::ClobberMemory();
  });
}
BENCHMARK(line_encode);

// The changed pages as lines, one after the other, as a batch carries them.
std::vector<uint8_t> all_lines() {
  std::vector<uint8_t> encoded;
  LineHashes hashes;
  for (size_t i = 0; i < kMany; ++i) {
    hash_lines(change().before[i].bytes, kPageSize, kSecret, hashes);
    const uint8_t* page = change().after[i].bytes;
    const uint64_t changed = changed_lines(page, kPageSize, kSecret, hashes);
    const size_t start = encoded.size();
    encoded.resize(start + lines_size(changed, kPageSize));
    put_lines(page, kPageSize, changed, kSecret, &encoded[start]);
  }
  return encoded;
}

// `out` is where the page goes; null: in place.
void decode_lines(benchmark::State& state, uint8_t* out) {
  const std::vector<uint8_t> encoded = all_lines();
  Pages pages = change().before;
  std::span<const uint8_t> rest;
  visit_pages(state, kMany, [&](size_t i) {
    if (i == 0) rest = encoded;
    uint8_t* page = pages[i].bytes;
    auto length = lines_length(rest, kPageSize);
    if (!length || !apply_lines(rest, page, kPageSize, kSecret, out ? out : page)) {
      return state.SkipWithError("the page did not come out right");
    }
    rest = rest.subspan(*length);
  });
}

void line_decode_in_place(benchmark::State& state) {
  decode_lines(state, nullptr);
}
BENCHMARK(line_decode_in_place);

void line_decode_to_buffer(benchmark::State& state) {
  Page buffer;
  decode_lines(state, buffer.bytes);
}
BENCHMARK(line_decode_to_buffer);

void patch_encode(benchmark::State& state) {
  std::vector<uint8_t> out(kPageSize / 2);
  visit_pages(state, kMany, [&](size_t i) {
    if (make_patch(change().before[i].bytes, change().after[i].bytes, kPageSize, out) == 0) {
      return state.SkipWithError("the patch does not fit");
    }
    benchmark::ClobberMemory();
  });
}
BENCHMARK(patch_encode);

// Pages that have changed throughout: what it costs to find that a patch does not pay.
void patch_encode_in_vain(benchmark::State& state) {
  std::vector<uint8_t> out(kPageSize / 2);
  visit_pages(state, kMany - 1, [&](size_t i) {
    if (make_patch(change().before[i].bytes, change().after[i + 1].bytes, kPageSize, out) != 0) {
      return state.SkipWithError("the patch fits");
    }
  });
}
BENCHMARK(patch_encode_in_vain);

void patch_decode(benchmark::State& state) {
  std::vector<uint8_t> encoded;
  std::vector<uint8_t> patch(kPageSize / 2);
  for (size_t i = 0; i < kMany; ++i) {
    auto size = make_patch(change().before[i].bytes, change().after[i].bytes, kPageSize, patch);
    encoded.insert(encoded.end(), patch.data(), patch.data() + size);
  }
  Pages pages = change().before;
  std::span<const uint8_t> rest;
  visit_pages(state, kMany, [&](size_t i) {
    if (i == 0) rest = encoded;
    auto length = patch_length(rest, kPageSize);
    if (!length) return state.SkipWithError("the patch is not valid");
    apply_patch(rest, pages[i].bytes);
    benchmark::ClobberMemory();
    rest = rest.subspan(*length);
  });
}
BENCHMARK(patch_decode);

}  // namespace
}  // namespace wherry
