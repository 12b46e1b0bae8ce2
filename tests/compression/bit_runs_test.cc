#include "compression/bit_runs.h"

#include <gtest/gtest.h>

#include <random>
#include <utility>
#include <vector>

namespace wherry {
namespace {

using Runs = std::vector<std::pair<uint32_t, uint32_t>>;

Runs runs_of(uint64_t bits) {
  Runs runs;
  each_bit_run(bits, [&](uint32_t first, uint32_t count) { runs.emplace_back(first, count); });
  return runs;
}

Runs runs_bit_by_bit(uint64_t bits) {
  Runs runs;
  for (uint32_t i = 0; i < 64; ++i) {
    if ((bits >> i & 1) == 0) continue;
    if (i > 0 && (bits >> (i - 1) & 1) != 0) {
      ++runs.back().second;
    } else {
      runs.emplace_back(i, 1);
    }
  }
  return runs;
}

TEST(BitRuns, OfTheEnds) {
  EXPECT_EQ(runs_of(0), Runs{});
  EXPECT_EQ(runs_of(1), (Runs{{0, 1}}));
  EXPECT_EQ(runs_of(uint64_t{1} << 63), (Runs{{63, 1}}));
  EXPECT_EQ(runs_of(~uint64_t{0}), (Runs{{0, 64}}));
  EXPECT_EQ(runs_of(~uint64_t{0} << 1), (Runs{{1, 63}}));
  EXPECT_EQ(runs_of(0xf000'0000'0000'0ff1), (Runs{{0, 1}, {4, 8}, {60, 4}}));
}

TEST(BitRuns, OfRandomBits) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 10'000; ++i) {
    uint64_t bits = random();
    if (i % 3 == 1) bits &= random();
    if (i % 3 == 2) bits |= random() | random();
    ASSERT_EQ(runs_of(bits), runs_bit_by_bit(bits)) << bits;
  }
}

}  // namespace
}  // namespace wherry
