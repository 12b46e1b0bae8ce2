#include "compression/page_batch.h"

#include <gtest/gtest.h>

#include <limits>
#include <tuple>
#include <vector>

#include "tests/compression/sample_pages.h"

namespace wherry {
namespace {

using test::kPage;

constexpr uint64_t kEndless = std::numeric_limits<uint64_t>::max();

using Seen = std::vector<std::tuple<uint16_t, uint64_t, const uint8_t*>>;

Seen pages_of(const PageBatch& batch) {
  Seen seen;
  batch.each(
      [&](uint16_t block, uint64_t index, const uint8_t* bytes) { seen.emplace_back(block, index, bytes); });
  return seen;
}

TEST(PageSpace, ContainsOnlyWholeRunsOfItsBlocks) {
  const PageSpace space{kPage, {10, 0, kEndless}};
  EXPECT_TRUE(space.contains({0, PageKind::raw, 10, 0}));
  EXPECT_TRUE(space.contains({0, PageKind::raw, 1, 9}));
  EXPECT_FALSE(space.contains({0, PageKind::raw, 0, 0})) << "a run of no pages";
  EXPECT_FALSE(space.contains({0, PageKind::raw, 2, 9}));
  EXPECT_FALSE(space.contains({0, PageKind::raw, 1, 10}));
  EXPECT_FALSE(space.contains({0, PageKind::raw, 11, 0}));
  EXPECT_FALSE(space.contains({1, PageKind::raw, 1, 0})) << "a block of no pages";
  EXPECT_FALSE(space.contains({3, PageKind::raw, 1, 0})) << "no such block";
  EXPECT_TRUE(space.contains({2, PageKind::raw, 1, kEndless - 1}));
  EXPECT_FALSE(space.contains({2, PageKind::raw, 2, kEndless - 1})) << "first + count would overflow";
  EXPECT_FALSE(space.contains({0, PageKind::raw, std::numeric_limits<uint32_t>::max(), kEndless - 5}));
}

TEST(PageBatch, JoinsNeighboursOfOneKindToRuns) {
  std::vector<uint8_t> bytes(8 * kPage);
  auto content = [&](int i) { return &bytes[i * kPage]; };
  PageBatch batch;
  batch.page_size = kPage;
  EXPECT_TRUE(batch.empty());
  batch.add(1, 5, content(0));
  batch.add(1, 6, content(1));
  batch.add(1, 7, nullptr);  // another kind
  batch.add(1, 8, nullptr);
  batch.add(1, 10, nullptr);     // a gap
  batch.add(2, 11, nullptr);     // another block
  batch.add(2, 10, content(2));  // backwards
  batch.add(2, 11, content(3));

  const std::vector<PageRun> runs = {{1, PageKind::raw, 2, 5},
                                     {1, PageKind::zero, 2, 7},
                                     {1, PageKind::zero, 1, 10},
                                     {2, PageKind::zero, 1, 11},
                                     {2, PageKind::raw, 2, 10}};
  EXPECT_EQ(batch.runs, runs);
  EXPECT_EQ(batch.page_count(), 8u);
  EXPECT_EQ(batch.bytes(), 8u * kPage);
  EXPECT_EQ(batch.data.size(), 4u);
  const Seen expected = {{1, 5, content(0)}, {1, 6, content(1)}, {1, 7, nullptr},     {1, 8, nullptr},
                         {1, 10, nullptr},   {2, 11, nullptr},   {2, 10, content(2)}, {2, 11, content(3)}};
  EXPECT_EQ(pages_of(batch), expected);
}

TEST(PageBatch, RunsFromATableCountLikePagesAdded) {
  PageBatch batch;
  batch.page_size = kPage;
  batch.add_run({0, PageKind::zero, 1000, 7});
  batch.add_run({0, PageKind::zero, 1, 1007});
  EXPECT_EQ(batch.runs.size(), 2u) << "runs are kept as they came";
  EXPECT_EQ(batch.page_count(), 1001u);
  EXPECT_EQ(pages_of(batch).size(), 1001u);
}

TEST(PageBatch, IsFullAtTheByteLimit) {
  std::vector<uint8_t> bytes(kPage);
  PageBatch batch;
  batch.page_size = kPage;
  for (uint32_t i = 0; i < kBatchBytes / kPage; ++i) {
    ASSERT_TRUE(batch.has_room()) << i;
    batch.add(0, i, bytes.data());
  }
  EXPECT_FALSE(batch.has_room());
}

TEST(PageBatch, IsFullAtThePageLimit) {
  PageBatch batch;
  batch.page_size = kPage;
  for (uint32_t i = 0; i < kBatchPages; ++i) {
    ASSERT_TRUE(batch.has_room()) << i;
    batch.add(0, i, nullptr);
  }
  EXPECT_EQ(batch.runs.size(), 1u);
  EXPECT_FALSE(batch.has_room());
}

TEST(PageBatch, IsFullAtTheRunLimit) {
  PageBatch batch;
  batch.page_size = kPage;
  for (uint32_t i = 0; i < kBatchRuns; ++i) {
    ASSERT_TRUE(batch.has_room()) << i;
    batch.add(0, 2 * i, nullptr);
  }
  EXPECT_EQ(batch.runs.size(), kBatchRuns);
  EXPECT_FALSE(batch.has_room());
}

TEST(PageBatch, IsAsNewAfterClear) {
  std::vector<uint8_t> bytes(kPage);
  PageBatch batch;
  batch.page_size = kPage;
  batch.add(0, 1, bytes.data());
  batch.add(0, 3, nullptr);
  batch.clear();
  EXPECT_TRUE(batch.empty());
  EXPECT_EQ(batch.page_count(), 0u);
  EXPECT_TRUE(pages_of(batch).empty());
  batch.add(0, 2, nullptr);
  EXPECT_EQ(pages_of(batch), (Seen{{0, 2, nullptr}}));
}

}  // namespace
}  // namespace wherry
