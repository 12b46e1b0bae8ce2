#include "compression/content_index.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace wherry {
namespace {

constexpr uint64_t kBucketBytes = 64;
constexpr uint64_t kContents = 10'000;

// Hashes are spread over all 64 bits.
uint64_t content(uint64_t i) {
  return (i + 1) * 0x9e3779b97f4a7c15;
}

KnownPage page(uint64_t i) {
  return {content(i), i, i % 5, i % 256};
}

TEST(ContentIndex, FindsWhatItWasTold) {
  ContentIndex index(1 << 20);
  EXPECT_FALSE(index.find(content(1)));
  const KnownPage known{content(1), (uint64_t{1} << 40) - 1, 65535, 255};
  index.add(known);
  EXPECT_EQ(index.find(content(1)), known);
  EXPECT_FALSE(index.find(content(2)));
  for (const uint64_t extreme : {uint64_t{0}, ~uint64_t{0}}) {
    index.add({extreme, 7, 1, 2});
    EXPECT_EQ(index.find(extreme), (KnownPage{extreme, 7, 1, 2}));
  }
}

TEST(ContentIndex, GivenUpItKnowsNothingAndTakesNothing) {
  ContentIndex index(1 << 20);
  for (uint64_t i = 0; i < 1000; ++i) index.add(page(i));
  ASSERT_TRUE(index.find(content(7)));
  index.give_up();
  EXPECT_EQ(index.bytes(), 0u);
  EXPECT_FALSE(index.find(content(7)));
  index.add(page(7));
  EXPECT_FALSE(index.find(content(7)));
}

TEST(ContentIndex, OfPagesWithOneContentTheLastCounts) {
  ContentIndex index(kBucketBytes);
  for (uint64_t i = 0; i < 4; ++i) index.add(page(i));
  index.add({content(1), 77, 1, 1});
  EXPECT_EQ(index.find(content(1))->page, 77u);
  for (const uint64_t other : {0, 2, 3})
    EXPECT_EQ(index.find(content(other)), page(other)) << "it displaced one";
}

TEST(ContentIndex, NewPagesDisplaceTheOldest) {
  ContentIndex index(kBucketBytes);
  for (uint64_t i = 0; i < 6; ++i) index.add(page(i));
  for (uint64_t i = 0; i < 6; ++i) EXPECT_EQ(index.find(content(i)).has_value(), i >= 2) << i;
}

TEST(ContentIndex, WithAnEntryForEachPageMostAreThere) {
  ContentIndex index(kContents * sizeof(KnownPage));
  for (uint64_t i = 0; i < kContents; ++i) index.add(page(i));
  uint64_t found = 0;
  for (uint64_t i = 0; i < kContents; ++i) {
    const auto known = index.find(content(i));
    if (!known) continue;
    EXPECT_EQ(*known, page(i));
    ++found;
  }
  EXPECT_GT(found, kContents * 3 / 4);
}

TEST(ContentIndex, TakesNoMoreBytesThanItMay) {
  for (const uint64_t bytes : {0, 1, 63, 64, 65, 1000, 100'000}) {
    ContentIndex index(bytes);
    EXPECT_LE(index.bytes(), bytes);
    EXPECT_GT(index.bytes() + kBucketBytes, bytes);
    index.add(page(1));
    EXPECT_EQ(index.find(content(1)).has_value(), bytes >= kBucketBytes);
  }
}

TEST(ContentIndex, ManyThreadsMayUseIt) {
  ContentIndex index(kContents * sizeof(KnownPage));
  std::vector<std::thread> threads;
  for (uint64_t of = 0; of < 3; ++of) {
    threads.emplace_back([&, of] {
      for (uint64_t i = of; i < kContents; ++i) {
        if (i % 3 == of) index.add(page(i));
        EXPECT_EQ(index.find(content(i)).value_or(page(i)), page(i));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace wherry
