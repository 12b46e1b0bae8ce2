#include "compression/zero_scan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace wherry {
namespace {

TEST(ZeroScan, TheLastVariantIsThePortableOne) {
  ASSERT_FALSE(zero_scans().empty());
  EXPECT_EQ(zero_scans().back().name, "portable");
}

class ZeroScanVariant : public testing::TestWithParam<ZeroScan> {};

INSTANTIATE_TEST_SUITE_P(Every, ZeroScanVariant, testing::ValuesIn(zero_scans().begin(), zero_scans().end()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(ZeroScanVariant, NoBytesAreZero) {
  EXPECT_TRUE(GetParam().is_zero({}));
}

// The bytes just outside are data: a scan that reads one too many says so.
TEST_P(ZeroScanVariant, LooksAtItsBytesOnly) {
  constexpr size_t kMost = 600;
  for (size_t start = 1; start <= 64; ++start) {
    std::vector<uint8_t> memory(start + kMost + 1);
    for (size_t length = 0; length <= kMost; ++length) {
      memory[start - 1] = 0xff;
      memory[start + length] = 0xff;
      ASSERT_TRUE(GetParam().is_zero({&memory[start], length})) << start << "+" << length;
      memory[start + length] = 0;
    }
  }
}

TEST_P(ZeroScanVariant, FindsAnyBitOfAnyByte) {
  constexpr size_t kMost = 600;
  std::vector<uint8_t> memory(64 + kMost);
  for (size_t start : {0, 1, 7, 8, 31, 33, 63}) {
    for (size_t length : {1, 7, 8, 9, 63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 512, 600}) {
      for (size_t at = 0; at < length; ++at) {
        memory[start + at] = static_cast<uint8_t>(1 << (at % 8));
        ASSERT_FALSE(GetParam().is_zero({&memory[start], length})) << start << "+" << length << " at " << at;
        memory[start + at] = 0;
      }
    }
  }
}

TEST_P(ZeroScanVariant, FindsAnyByteOfAPage) {
  for (size_t size : {1024, 4096, 65536}) {
    std::vector<uint8_t> page(size);
    ASSERT_TRUE(GetParam().is_zero(page)) << size;
    for (size_t at = 0; at < size; at += size / 512 + 1) {
      page[at] = 0x80;
      ASSERT_FALSE(GetParam().is_zero(page)) << size << " at " << at;
      page[at] = 0;
    }
    page.back() = 1;
    EXPECT_FALSE(GetParam().is_zero(page)) << size;
  }
}

TEST(ZeroScan, AnswersLikeItsVariants) {
  std::vector<uint8_t> page(4096);
  EXPECT_TRUE(is_zero(page));
  page[4000] = 1;
  EXPECT_FALSE(is_zero(page));
  EXPECT_TRUE(is_zero(std::span(page).first(4000)));
}

}  // namespace
}  // namespace wherry
