#include "compression/line_delta.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <random>
#include <set>
#include <vector>

#include "tests/compression/sample_pages.h"
#include "tests/compression/sample_secret.h"

namespace wherry {
namespace {

using test::Bytes;
using test::kSampleSecret;
using test::random_bytes;

// `page` with the lines of `bitmap` changed, each in one random byte.
Bytes with_changes(std::mt19937_64& random, Bytes page, uint64_t bitmap) {
  const size_t line = page.size() / kPageLines;
  for (size_t i = 0; i < kPageLines; ++i) {
    if (bitmap >> i & 1) page[i * line + random() % line] ^= static_cast<uint8_t>(1 << random() % 8);
  }
  return page;
}

Bytes encode(const Bytes& page, uint64_t bitmap) {
  Bytes out(lines_size(bitmap, page.size()));
  put_lines(page.data(), page.size(), bitmap, kSampleSecret, out.data());
  return out;
}

uint64_t some_lines(std::mt19937_64& random, int round) {
  switch (round % 4) {
    case 0:
      return uint64_t{1} << random() % 64;
    case 1:
      return random() & random() & random();
    case 2:
      return random();
    default:
      return round % 8 == 3 ? 0 : ~uint64_t{0};
  }
}

class LineDelta : public testing::TestWithParam<uint32_t> {
 protected:
  const uint32_t size_ = GetParam();
  std::mt19937_64 random_{size_};
};

INSTANTIATE_TEST_SUITE_P(PageSize, LineDelta, testing::Values(1024, 2048, 4096, 8192, 16384, 32768, 65536),
                         testing::PrintToStringParamName());

TEST_P(LineDelta, FindsExactlyTheChangedLines) {
  Bytes page = random_bytes(random_, size_);
  LineHashes hashes;
  hash_lines(page.data(), size_, kSampleSecret, hashes);
  EXPECT_EQ(changed_lines(page.data(), size_, kSampleSecret, hashes), 0u);
  for (int round = 0; round < 200; ++round) {
    const uint64_t bitmap = some_lines(random_, round);
    page = with_changes(random_, page, bitmap);
    ASSERT_EQ(changed_lines(page.data(), size_, kSampleSecret, hashes), bitmap) << round;
    LineHashes afresh;
    std::memset(&afresh, 0xa5, sizeof afresh);
    hash_lines(page.data(), size_, kSampleSecret, afresh);
    ASSERT_EQ(hashes, afresh) << round;
  }
}

TEST_P(LineDelta, SeesEveryByteOfALine) {
  Bytes page = random_bytes(random_, size_);
  LineHashes hashes;
  hash_lines(page.data(), size_, kSampleSecret, hashes);
  const uint32_t line = size_ / kPageLines;
  for (uint32_t at = 0; at < line; ++at) {
    page[at] ^= 1;
    page[size_ - line + at] ^= 0x80;
    ASSERT_EQ(changed_lines(page.data(), size_, kSampleSecret, hashes), uint64_t{1} << 63 | 1) << at;
  }
}

// Each of the 24 bits counts: a change to any of them alone is a change of its line.
TEST_P(LineDelta, ComparesEveryBitOfAHash) {
  const Bytes page = random_bytes(random_, size_);
  LineHashes hashes;
  hash_lines(page.data(), size_, kSampleSecret, hashes);
  const LineHashes right = hashes;
  for (uint32_t line = 0; line < kPageLines; ++line) {
    for (int bit = 0; bit < 24; ++bit) {
      if (bit < 16) {
        hashes.low[line] = static_cast<uint16_t>(hashes.low[line] ^ 1 << bit);
      } else {
        hashes.high[line] = static_cast<uint8_t>(hashes.high[line] ^ 1 << (bit - 16));
      }
      ASSERT_EQ(changed_lines(page.data(), size_, kSampleSecret, hashes), uint64_t{1} << line) << bit;
      ASSERT_EQ(hashes, right);
    }
  }
}

// Whoever knows the hashes of one session does not know those of another.
TEST_P(LineDelta, HashesOfALineDependOnTheSecret) {
  const Bytes page = random_bytes(random_, size_);
  LineHashes one;
  LineHashes other;
  hash_lines(page.data(), size_, draw_secret(), one);
  hash_lines(page.data(), size_, draw_secret(), other);
  int equal = 0;
  for (uint32_t line = 0; line < kPageLines; ++line)
    equal += one.low[line] == other.low[line] && one.high[line] == other.high[line];
  EXPECT_LE(equal, 1) << "by chance: once in 2^24";
}

// Lines that differ in a counter, as memory often does, must not share hashes more than 24 random bits would.
TEST_P(LineDelta, HashesOfSimilarLinesSpread) {
  std::set<uint32_t> seen;
  Bytes page(size_);
  LineHashes hashes;
  for (uint64_t i = 0; i < 64; ++i) {
    for (uint64_t k = 0; k < kPageLines; ++k) {
      const uint64_t counter = i * kPageLines + k;
      std::memcpy(&page[k * (size_ / kPageLines)], &counter, sizeof counter);
    }
    hash_lines(page.data(), size_, kSampleSecret, hashes);
    for (uint32_t k = 0; k < kPageLines; ++k) seen.insert(hashes.low[k] | uint32_t{hashes.high[k]} << 16);
  }
  // 4096 of 2^24 values: half a collision is to be expected.
  EXPECT_GE(seen.size(), 4096u - 6);
}

TEST_P(LineDelta, EncodesAsTheContractSays) {
  const Bytes page = random_bytes(random_, size_);
  const uint32_t line = size_ / kPageLines;
  const Bytes encoded = encode(page, uint64_t{1} << 63 | 0b110);
  ASSERT_EQ(encoded.size(), 16u + 3 * line);
  const Bytes bitmap = {0b110, 0, 0, 0, 0, 0, 0, 0x80};
  EXPECT_EQ(Bytes(encoded.begin(), encoded.begin() + 8), bitmap);
  const uint64_t sum = hash_page(page.data(), size_, kSampleSecret);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(encoded[8 + i], static_cast<uint8_t>(sum >> (8 * i))) << i;
  EXPECT_EQ(std::memcmp(&encoded[16], &page[line], 2 * line), 0);
  EXPECT_EQ(std::memcmp(&encoded[16 + 2 * line], &page[63 * line], line), 0);
}

TEST_P(LineDelta, RebuildsThePageInPlaceAndElsewhereAndTwice) {
  for (int round = 0; round < 100; ++round) {
    const Bytes before = random_bytes(random_, size_);
    LineHashes hashes;
    hash_lines(before.data(), size_, kSampleSecret, hashes);
    const Bytes after = with_changes(random_, before, some_lines(random_, round));
    const Bytes encoded = encode(after, changed_lines(after.data(), size_, kSampleSecret, hashes));
    ASSERT_EQ(lines_length(encoded, size_).value(), encoded.size());

    Bytes elsewhere(size_, 0xee);
    ASSERT_TRUE(apply_lines(encoded, before.data(), size_, kSampleSecret, elsewhere.data()));
    ASSERT_EQ(elsewhere, after);
    Bytes in_place = before;
    ASSERT_TRUE(apply_lines(encoded, in_place.data(), size_, kSampleSecret, in_place.data()));
    ASSERT_EQ(in_place, after);
    ASSERT_TRUE(apply_lines(encoded, in_place.data(), size_, kSampleSecret, in_place.data()));
    ASSERT_EQ(in_place, after);
  }
}

TEST_P(LineDelta, NoticesAnotherBase) {
  const Bytes before = random_bytes(random_, size_);
  const Bytes after = with_changes(random_, before, 0xff00);
  const Bytes encoded = encode(after, 0xff00);
  Bytes out(size_);
  for (uint64_t line : {0, 7, 16, 63}) {
    const Bytes other = with_changes(random_, before, uint64_t{1} << line);
    EXPECT_FALSE(apply_lines(encoded, other.data(), size_, kSampleSecret, out.data())) << line;
  }
  const Bytes other = with_changes(random_, before, 0x0f00);
  EXPECT_TRUE(apply_lines(encoded, other.data(), size_, kSampleSecret, out.data()))
      << "only in lines that are replaced";
}

// The effect of a collision of line hashes: a changed line is not sent.
TEST_P(LineDelta, NoticesALineLeftOut) {
  const Bytes before = random_bytes(random_, size_);
  const Bytes after = with_changes(random_, before, 0b111);
  const Bytes encoded = encode(after, 0b101);
  Bytes out(size_);
  EXPECT_FALSE(apply_lines(encoded, before.data(), size_, kSampleSecret, out.data()));
}

TEST_P(LineDelta, NoticesAnyDamage) {
  const Bytes before = random_bytes(random_, size_);
  const Bytes after = with_changes(random_, before, 0b1010);
  const Bytes encoded = encode(after, 0b1010);
  Bytes out(size_);
  for (size_t at = 8; at < encoded.size(); ++at) {
    Bytes damaged = encoded;
    damaged[at] ^= 0x10;
    ASSERT_FALSE(apply_lines(damaged, before.data(), size_, kSampleSecret, out.data())) << at;
  }
}

TEST_P(LineDelta, LengthIsBoundedByWhatIsThere) {
  const Bytes before(size_);
  Bytes out(size_);
  for (uint64_t bitmap : {uint64_t{0}, uint64_t{1} << 63, uint64_t{0x8001'0000'0000'0003}, ~uint64_t{0}}) {
    Bytes encoded = encode(random_bytes(random_, size_), bitmap);
    for (size_t size = 0; size < encoded.size(); ++size) {
      // A copy of its own, so that the sanitizer sees a read beyond it.
      const Bytes cut(encoded.begin(), encoded.begin() + static_cast<std::ptrdiff_t>(size));
      ASSERT_FALSE(lines_length(cut, size_)) << size;
      ASSERT_FALSE(apply_lines(cut, before.data(), size_, kSampleSecret, out.data())) << size;
    }
    const size_t length = encoded.size();
    ASSERT_EQ(length, 16u + std::popcount(bitmap) * (size_ / kPageLines));
    encoded.resize(length + 100);
    EXPECT_EQ(lines_length(encoded, size_).value(), length) << "what follows is another's";
  }
}

}  // namespace
}  // namespace wherry
