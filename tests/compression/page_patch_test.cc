#include "compression/page_patch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "tests/compression/sample_pages.h"

namespace wherry {
namespace {

using test::Bytes;
using test::random_bytes;

// Every byte of a change differs from what was there.
void change(Bytes& page, size_t from, size_t count) {
  for (size_t i = 0; i < count; ++i) page[from + i] ^= 0xff;
}

Bytes patch_of(const Bytes& base, const Bytes& page, size_t limit = 1 << 17) {
  Bytes out(limit);
  out.resize(make_patch(base.data(), page.data(), page.size(), out));
  return out;
}

// Applies the ops of a patch to `page`, reading them by the format in page_patch.h.
Bytes by_the_book(const Bytes& patch, Bytes page) {
  EXPECT_EQ(patch.size(), 2u + patch[0] + 256 * patch[1]);
  size_t to = 0;
  for (size_t at = 2; at < patch.size();) {
    to += patch[at] + 256u * patch[at + 1];
    const size_t count = patch[at + 2] + 1u;
    at += 3;
    for (size_t i = 0; i < count; ++i) page.at(to++) = patch.at(at++);
  }
  return page;
}

class PagePatch : public testing::TestWithParam<uint32_t> {
 protected:
  const uint32_t size_ = GetParam();
  std::mt19937_64 random_{size_};
};

INSTANTIATE_TEST_SUITE_P(PageSize, PagePatch, testing::Values(1024, 2048, 4096, 8192, 16384, 32768, 65536),
                         testing::PrintToStringParamName());

TEST_P(PagePatch, OfAnUnchangedPageHasNoOps) {
  const Bytes page = random_bytes(random_, size_);
  EXPECT_EQ(patch_of(page, page), (Bytes{0, 0}));
}

TEST_P(PagePatch, FindsAnyByte) {
  const Bytes base = random_bytes(random_, size_);
  Bytes page = base;
  for (uint32_t at = 0; at < size_; at += size_ / 1024) {
    page[at] ^= static_cast<uint8_t>(1 << at % 8);
    const Bytes expected = {4, 0, static_cast<uint8_t>(at), static_cast<uint8_t>(at >> 8), 0, page[at]};
    ASSERT_EQ(patch_of(base, page), expected) << at;
    page[at] = base[at];
  }
}

TEST_P(PagePatch, OfAChangeIsItsBytesAndFiveMore) {
  const Bytes base = random_bytes(random_, size_);
  for (size_t from = 0; from + 64 <= size_; from += 61) {
    Bytes page = base;
    change(page, from, 64);
    ASSERT_EQ(patch_of(base, page).size(), 64u + 5) << from;
  }
}

TEST_P(PagePatch, JoinsChangesWhereThatIsNoLonger) {
  const Bytes base = random_bytes(random_, size_);
  for (size_t from : {10, 50, 55}) {  // within a block of 64 and across two
    for (size_t gap = 1; gap <= 8; ++gap) {
      Bytes page = base;
      change(page, from, 5);
      change(page, from + 5 + gap, 7);
      EXPECT_EQ(patch_of(base, page).size(), 2 + 3 + 5 + 7 + std::min<size_t>(gap, 3)) << from << " " << gap;
    }
  }
}

TEST_P(PagePatch, SplitsLongChanges) {
  const Bytes base = random_bytes(random_, size_);
  for (size_t count : {255, 256, 257, 512, 513, 1000}) {
    Bytes page = base;
    change(page, 7, count);
    const Bytes patch = patch_of(base, page);
    EXPECT_EQ(patch.size(), 2 + count + 3 * ((count + 255) / 256));
    EXPECT_EQ(by_the_book(patch, base), page);
  }
}

TEST_P(PagePatch, RebuildsThePageOnceAndTwice) {
  for (int round = 0; round < 300; ++round) {
    const Bytes base = random_bytes(random_, size_);
    Bytes page = base;
    // From a single byte to much of the page, at random places that may overlap.
    for (uint64_t n = random_() % 20; n > 0; --n) {
      const size_t count = std::min<size_t>(1 + random_() % (round % 2 == 0 ? 8 : 300), size_);
      change(page, random_() % (size_ - count + 1), count);
    }
    const Bytes patch = patch_of(base, page);
    ASSERT_EQ(by_the_book(patch, base), page) << round;
    ASSERT_EQ(patch_length(patch, size_).value(), patch.size());
    Bytes patched = base;
    ASSERT_TRUE(apply_patch(patch, patched));
    ASSERT_EQ(patched, page) << round;
    ASSERT_TRUE(apply_patch(patch, patched));
    ASSERT_EQ(patched, page) << round;
  }
}

TEST_P(PagePatch, LeavesOtherBytesAsTheyAre) {
  const Bytes base(size_);
  Bytes page = base;
  change(page, 100, 50);
  const Bytes patch = patch_of(base, page);
  Bytes other = random_bytes(random_, size_);
  Bytes expected = other;
  std::copy_n(page.begin() + 100, 50, expected.begin() + 100);
  ASSERT_TRUE(apply_patch(patch, other));
  EXPECT_EQ(other, expected);
}

TEST_P(PagePatch, OfAnotherPageAltogether) {
  const Bytes base = random_bytes(random_, size_);
  Bytes page = base;
  change(page, 0, size_);
  const Bytes patch = patch_of(base, page);
  if (size_ == 65536) {
    EXPECT_TRUE(patch.empty()) << "longer than its length field can say";
  } else {
    EXPECT_EQ(patch.size(), 2 + size_ + 3 * (size_ / 256));
    EXPECT_EQ(by_the_book(patch, base), page);
  }
}

TEST_P(PagePatch, FitsOrWritesNothing) {
  const Bytes base = random_bytes(random_, size_);
  Bytes page = base;
  change(page, 20, 70);
  change(page, 300, 400);
  change(page, size_ - 9, 9);
  const Bytes whole = patch_of(base, page);
  for (size_t limit = 0; limit < whole.size(); ++limit) {
    // The sanitizer sees a byte written beyond the limit.
    ASSERT_TRUE(patch_of(base, page, limit).empty()) << limit;
  }
  EXPECT_EQ(patch_of(base, page, whole.size()), whole);
  EXPECT_EQ(patch_of(base, base, 2).size(), 2u);
  EXPECT_EQ(patch_of(base, base, 1).size(), 0u);
}

TEST_P(PagePatch, ThatIsCutShortIsRefused) {
  const Bytes base = random_bytes(random_, size_);
  Bytes page = base;
  change(page, 20, 70);
  change(page, 300, 400);
  const Bytes whole = patch_of(base, page);
  for (size_t size = 0; size < whole.size(); ++size) {
    Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    ASSERT_FALSE(patch_length(cut, size_)) << size;
    Bytes into = base;
    ASSERT_FALSE(apply_patch(cut, into)) << size;
    // The same with a matching length field, which is valid only if the cut is between ops.
    if (size < 2) continue;
    cut[0] = static_cast<uint8_t>(size - 2);
    cut[1] = static_cast<uint8_t>((size - 2) >> 8);
    const bool between_ops = size == 2 || size == 75 || size == 334;
    ASSERT_EQ(patch_length(cut, size_).has_value(), between_ops) << size;
  }
}

TEST_P(PagePatch, IsFollowedByAnothersBytes) {
  const Bytes base = random_bytes(random_, size_);
  Bytes page = base;
  change(page, 20, 70);
  Bytes patch = patch_of(base, page);
  const size_t length = patch.size();
  patch.resize(length + 50);
  EXPECT_EQ(patch_length(patch, size_).value(), length);
  // If the length includes those bytes, they are ops of one byte and a head that is cut off.
  patch[0] = static_cast<uint8_t>(length - 2 + 50);
  EXPECT_FALSE(patch_length(patch, size_));
}

TEST_P(PagePatch, ThatReachesBeyondThePageIsRefused) {
  auto op = [](size_t skip, size_t count) {
    Bytes patch = {static_cast<uint8_t>(3 + count), static_cast<uint8_t>((3 + count) >> 8),
                   static_cast<uint8_t>(skip), static_cast<uint8_t>(skip >> 8),
                   static_cast<uint8_t>(count - 1)};
    patch.resize(patch.size() + count);
    return patch;
  };
  for (size_t count : {1, 2, 64, 256}) {
    EXPECT_TRUE(patch_length(op(size_ - count, count), size_)) << count;
    if (size_ - count + 1 > 65535) continue;
    EXPECT_FALSE(patch_length(op(size_ - count + 1, count), size_)) << count;
    Bytes into(size_);
    EXPECT_FALSE(apply_patch(op(size_ - count + 1, count), into)) << count;
    EXPECT_EQ(into, Bytes(size_));
  }
  EXPECT_FALSE(patch_length(op(65535, 256), size_));
  // Two ops that are each within the page but not one after the other.
  Bytes two = op(size_ / 2, 1);
  const Bytes second = op(size_ / 2 - 1, 1);
  two.insert(two.end(), second.begin() + 2, second.end());
  two[0] = 8;
  EXPECT_FALSE(patch_length(two, size_));
  two[6] = static_cast<uint8_t>(size_ / 2 - 2);
  two[7] = static_cast<uint8_t>((size_ / 2 - 2) >> 8);
  EXPECT_TRUE(patch_length(two, size_));
}

// Whatever passes the check stays within the page and within the patch (the sanitizer watches).
TEST_P(PagePatch, RandomBytesAreRefusedOrHarmless) {
  int passed = 0;
  for (int round = 0; round < 20'000; ++round) {
    Bytes patch = random_bytes(random_, random_() % 40);
    if (patch.size() >= 2) {
      patch[0] = static_cast<uint8_t>(patch.size() - 2);
      patch[1] = 0;
    }
    // Small numbers, else next to nothing passes.
    for (size_t i = 2; i < patch.size(); ++i) patch[i] %= 4;
    const auto length = patch_length(patch, size_);
    if (!length) continue;
    ++passed;
    ASSERT_EQ(*length, patch.size());
    const Bytes base(size_);
    Bytes page = base;
    ASSERT_TRUE(apply_patch(patch, page));
    ASSERT_EQ(page, by_the_book(patch, base));
  }
  EXPECT_GT(passed, 100);
}

}  // namespace
}  // namespace wherry
