#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "compression/batch_codec.h"

namespace wherry {
namespace {

constexpr uint32_t kPage = 4096;
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

std::vector<uint8_t> joined(const EncodedBatch& encoded) {
  std::vector<uint8_t> body;
  for (std::span<const uint8_t> part : encoded.body) body.insert(body.end(), part.begin(), part.end());
  return body;
}

const PageSpace kSpace{kPage, {1000, kMost, 70000}};

void expect_refused(const std::vector<uint8_t>& bytes, const std::string& why,
                    const PageSpace& space = kSpace) {
  auto batch = read_table(bytes, space);
  ASSERT_FALSE(batch) << "not refused: " << why;
  EXPECT_NE(batch.error().message.find(why), std::string::npos) << batch.error().message;
}

TEST(ReadTable, ReadsRunsAsTheyAre) {
  auto batch =
      read_table(table({entry(0, 1, 3, 997), entry(2, 0, 60000, 10000), entry(1, 1, 1, kMost - 1)}), kSpace);
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
  EXPECT_TRUE(read_table(many, kSpace)) << "the longest table is fine";
}

TEST(ReadTable, RefusesUnknownKindsAndReservedBytes) {
  expect_refused(entry(0, 2, 1, 0), "unknown kind 2");
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
  EXPECT_TRUE(read_table(entry(2, 0, kBatchPages, 0), kSpace));
  expect_refused(entry(2, 0, kBatchPages + 1, 0), "more pages than fit");
  expect_refused(entry(1, 0, std::numeric_limits<uint32_t>::max(), 0), "more pages than fit");
  expect_refused(table({entry(2, 0, kBatchPages, 0), entry(0, 0, 1, 0)}), "more pages than fit");
  EXPECT_TRUE(read_table(entry(0, 1, kBatchBytes / kPage, 0), kSpace));
  expect_refused(entry(0, 1, kBatchBytes / kPage + 1, 0), "more pages than fit");
  expect_refused(table({entry(0, 1, 128, 0), entry(0, 0, 5, 200), entry(0, 1, 1, 300)}),
                 "more pages than fit");
  // Runs whose counts would overflow 32 bits together.
  expect_refused(table({entry(2, 0, 60000, 0), entry(1, 0, 0xffffffff, 0), entry(1, 0, 0xffffffff, 0)}),
                 "more pages than fit");
}

class RawCodec : public testing::Test {
 protected:
  RawCodec() : memory_(300 * kPage) {
    std::mt19937 random(7);
    for (uint8_t& byte : memory_) byte = static_cast<uint8_t>(random());
    batch_.page_size = kPage;
  }
  const uint8_t* content(size_t i) { return &memory_[i * kPage]; }

  std::vector<uint8_t> memory_;
  PageBatch batch_;
  std::unique_ptr<BatchCodec> codec_ = make_raw_codec();
  EncodedBatch encoded_;
};

TEST_F(RawCodec, EncodesTheTableByteForByte) {
  batch_.add(0x0102, 0x0807060504030201, content(0));
  batch_.add(0x0102, 0x0807060504030202, content(1));
  batch_.add(3, 9, nullptr);
  codec_->encode(batch_, encoded_);
  const std::vector<uint8_t> expected = {2, 1, 1, 0, 2, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8,  //
                                         3, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(encoded_.table, expected);
  EXPECT_EQ(encoded_.body_size, 2 * kPage);
}

TEST_F(RawCodec, GivesPagesThatLieSideBySideAsOnePiece) {
  for (size_t i : {0, 1, 2, 10, 11, 5}) batch_.add(0, 20 * i, content(i));
  codec_->encode(batch_, encoded_);
  ASSERT_EQ(encoded_.body.size(), 3u);
  EXPECT_EQ(encoded_.body[0].size(), 3 * kPage);
  EXPECT_EQ(encoded_.body[1].data(), content(10));
  EXPECT_EQ(encoded_.body[1].size(), 2 * kPage);
  EXPECT_EQ(encoded_.body[2].size(), kPage);
  EXPECT_EQ(encoded_.body_size, 6 * kPage);
}

TEST_F(RawCodec, BringsEveryPageBack) {
  std::mt19937 random(42);
  for (int round = 0; round < 50; ++round) {
    batch_.clear();
    const int pages = 1 + static_cast<int>(random() % 128);
    for (int i = 0; i < pages; ++i) {
      batch_.add(static_cast<uint16_t>(random() % 3), random() % 900,
                 random() % 3 == 0 ? nullptr : content(random() % 300));
    }
    codec_->encode(batch_, encoded_);
    const std::vector<uint8_t> body = joined(encoded_);
    EXPECT_EQ(body.size(), encoded_.body_size);
    auto decoded = read_table(encoded_.table, PageSpace{kPage, {900, 900, 900}});
    ASSERT_TRUE(decoded) << decoded.error().message;
    ASSERT_TRUE(codec_->decode(*decoded, body));
    EXPECT_EQ(decoded->runs, batch_.runs);
    ASSERT_EQ(decoded->data.size(), batch_.data.size());
    for (size_t i = 0; i < batch_.data.size(); ++i) {
      EXPECT_EQ(std::memcmp(decoded->data[i], batch_.data[i], kPage), 0) << i;
    }
  }
}

TEST_F(RawCodec, StartsAfreshWithEachBatch) {
  batch_.add(0, 0, content(0));
  codec_->encode(batch_, encoded_);
  PageBatch other;
  other.page_size = kPage;
  other.add(1, 1, nullptr);
  codec_->encode(other, encoded_);
  EXPECT_EQ(encoded_.table.size(), kRunBytes);
  EXPECT_TRUE(encoded_.body.empty());
  EXPECT_EQ(encoded_.body_size, 0u);
}

TEST_F(RawCodec, RefusesABodyOfWrongLength) {
  auto batch = read_table(table({entry(0, 1, 2, 0), entry(0, 0, 5, 10), entry(0, 1, 1, 20)}), kSpace);
  ASSERT_TRUE(batch);
  const std::span<const uint8_t> bytes(memory_);
  EXPECT_TRUE(codec_->decode(*batch, bytes.first(3 * kPage)));
  EXPECT_EQ(batch->data.size(), 3u);
  for (size_t wrong : {size_t{0}, size_t{1}, 3 * size_t{kPage} - 1, 2 * size_t{kPage}}) {
    auto decoded = codec_->decode(*batch, bytes.first(wrong));
    ASSERT_FALSE(decoded) << wrong;
    EXPECT_EQ(decoded.error().message, "a batch is shorter than its table says");
  }
  for (size_t wrong : {3 * size_t{kPage} + 1, 4 * size_t{kPage}}) {
    auto decoded = codec_->decode(*batch, bytes.first(wrong));
    ASSERT_FALSE(decoded) << wrong;
    EXPECT_EQ(decoded.error().message, "a batch is longer than its table says");
  }
}

TEST_F(RawCodec, ABatchOfZeroPagesHasNoBody) {
  auto batch = read_table(entry(0, 0, 7, 0), kSpace);
  ASSERT_TRUE(batch);
  EXPECT_TRUE(codec_->decode(*batch, {}));
  EXPECT_FALSE(codec_->decode(*batch, std::span<const uint8_t>(memory_).first(1)));
}

}  // namespace
}  // namespace wherry
