#include "compression/batch_table.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "tests/base/expect_error.h"
#include "tests/compression/sample_pages.h"

namespace wherry {
namespace {

using test::kPage;

constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();

// A run as the wire has it, put together without the code under test.
std::vector<uint8_t> entry(uint16_t block, uint8_t kind, uint32_t count, uint64_t first,
                           uint8_t reserved = 0) {
  std::vector<uint8_t> bytes = {static_cast<uint8_t>(block), static_cast<uint8_t>(block >> 8), kind,
                                reserved};
  for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<uint8_t>(count >> (8 * i)));
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<uint8_t>(first >> (8 * i)));
  return bytes;
}

std::vector<uint8_t> table(std::initializer_list<std::vector<uint8_t>> entries) {
  std::vector<uint8_t> all;
  for (const auto& one : entries) all.insert(all.end(), one.begin(), one.end());
  return all;
}

const PageSpace kTableSpace{kPage, {1000, kMost, 70000}};

void expect_refused(const std::vector<uint8_t>& bytes, const std::string& why,
                    const PageSpace& space = kTableSpace) {
  EXPECT_ERROR(read_table(bytes, space), why);
}

TEST(ReadTable, ReadsRunsAsTheyAre) {
  auto batch = read_table(table({entry(0, 1, 3, 997), entry(2, 0, 60000, 10000), entry(1, 1, 1, kMost - 1)}),
                          kTableSpace);
  ASSERT_TRUE(batch) << batch.error().message;
  const std::vector<PageRun> runs = {
      {0, PageKind::raw, 3, 997}, {2, PageKind::zero, 60000, 10000}, {1, PageKind::raw, 1, kMost - 1}};
  EXPECT_EQ(batch->runs, runs);
  EXPECT_EQ(batch->page_size, kPage);
  EXPECT_EQ(batch->page_count(), 60004u);
  EXPECT_TRUE(batch->data.empty());
}

TEST(ReadTable, RefusesTablesOfWrongSize) {
  expect_refused({}, "0 bytes");
  auto one = entry(0, 1, 1, 0);
  one.pop_back();
  expect_refused(one, "15 bytes");
  one.resize(17);
  expect_refused(one, "17 bytes");
  std::vector<uint8_t> many;
  for (uint32_t i = 0; i < kBatchRuns + 1; ++i) {
    auto next = entry(1, 0, 1, 2 * i);
    many.insert(many.end(), next.begin(), next.end());
  }
  expect_refused(many, "16400 bytes");
  many.resize(many.size() - kRunBytes);
  EXPECT_TRUE(read_table(many, kTableSpace)) << "the longest table is fine";
}

TEST(ReadTable, RefusesUnknownKindsAndReservedBytes) {
  expect_refused(entry(0, 8, 1, 0), "unknown kind 8");
  expect_refused(entry(0, 255, 1, 0), "unknown kind 255");
  expect_refused(entry(0, 1, 1, 0, 1), "reserved byte is 1");
  expect_refused(table({entry(0, 1, 1, 0), entry(0, 1, 1, 1, 128)}), "reserved byte is 128");
}

TEST(ReadTable, RefusesPagesOutsideTheirBlock) {
  expect_refused(entry(3, 1, 1, 0), "outside guest memory");
  expect_refused(entry(65535, 1, 1, 0), "outside guest memory");
  expect_refused(entry(0, 1, 1, 1000), "outside guest memory");
  expect_refused(entry(0, 0, 2, 999), "outside guest memory");
  expect_refused(entry(0, 0, 1001, 0), "outside guest memory");
  expect_refused(entry(0, 0, 0, 0), "outside guest memory");  // no pages at all
  expect_refused(entry(1, 0, 2, kMost - 1), "outside guest memory");
  expect_refused(entry(0, 0, 10, kMost - 5), "outside guest memory");
  expect_refused(entry(0, 0, std::numeric_limits<uint32_t>::max(), 500), "outside guest memory");
  expect_refused(entry(0, 0, 1, 0), "outside guest memory", PageSpace{kPage, {}});
}

TEST(ReadTable, RefusesMoreThanABatch) {
  EXPECT_TRUE(read_table(entry(2, 0, kBatchPages, 0), kTableSpace));
  expect_refused(entry(2, 0, kBatchPages + 1, 0), "more pages than fit");
  expect_refused(entry(1, 0, std::numeric_limits<uint32_t>::max(), 0), "more pages than fit");
  expect_refused(table({entry(2, 0, kBatchPages, 0), entry(0, 0, 1, 0)}), "more pages than fit");
  EXPECT_TRUE(read_table(entry(0, 1, kBatchBytes / kPage, 0), kTableSpace));
  expect_refused(entry(0, 1, kBatchBytes / kPage + 1, 0), "more pages than fit");
  expect_refused(table({entry(0, 1, 128, 0), entry(0, 0, 5, 200), entry(0, 1, 1, 300)}),
                 "more pages than fit");
  // Runs whose counts would overflow 32 bits together.
  expect_refused(table({entry(2, 0, 60000, 0), entry(1, 0, 0xffffffff, 0), entry(1, 0, 0xffffffff, 0)}),
                 "more pages than fit");
}

TEST(PutTable, WritesRunsByteForByte) {
  const std::vector<PageRun> runs = {{0x0102, PageKind::lines, 2, 0x0807060504030201},
                                     {3, PageKind::zero, 1, 9}};
  std::vector<uint8_t> out(100, 7);  // what was there is replaced
  put_table(runs, out);
  const std::vector<uint8_t> expected = {2, 1, 3, 0, 2, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8,  //
                                         3, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(out, expected);
}

TEST(PutTable, WhatIsPutIsReadAgain) {
  const std::vector<PageRun> runs = {{0, PageKind::raw, 3, 997},
                                     {2, PageKind::zero, 60000, 10000},
                                     {1, PageKind::packed, 1, kMost - 1},
                                     {0, PageKind::lines, 100, 5}};
  std::vector<uint8_t> bytes;
  put_table(runs, bytes);
  auto batch = read_table(bytes, kTableSpace);
  ASSERT_TRUE(batch) << batch.error().message;
  EXPECT_EQ(batch->runs, runs);
}

}  // namespace
}  // namespace wherry
