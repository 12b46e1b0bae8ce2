#include "compression/batch_encoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <random>
#include <vector>

#include "compression/batch_decoder.h"
#include "compression/batch_table.h"
#include "compression/line_delta.h"
#include "compression/page_digest.h"
#include "compression/page_patch.h"
#include "compression/page_reference.h"
#include "tests/compression/batch_encoder_fixture.h"
#include "tests/compression/sample_pages.h"

namespace wherry {
namespace {

using test::BatchEncoderTest;
using test::body_of;
using test::Bytes;
using test::kDelta;
using test::kDeltaZstd;
using test::kLine;
using test::kPage;
using test::kRaw;
using test::kSpace;
using test::kZstd;
using test::random_page;
using test::text_page;
using History = Encoding::History;

TEST_F(BatchEncoderTest, WithoutALevelPagesGoAsTheyAre) {
  const Bytes pages = text_page(1, 3 * kPage);
  batch_.add(0, 7, &pages[0]);
  batch_.add(0, 8, &pages[kPage]);
  batch_.add(1, 0, nullptr);
  encoder_.encode(batch_, 0, kRaw, encoded_);
  EXPECT_EQ(kinds(), (std::vector{PageKind::raw, PageKind::raw, PageKind::zero}));
  EXPECT_EQ(encoded_.pack_size, 0u);
  EXPECT_EQ(encoded_.plain_size, 0u);
  EXPECT_EQ(encoded_.body_size, 2 * kPage);
  EXPECT_EQ(encoded_.counts.raw, 2u);
  EXPECT_EQ(encoded_.counts.zero, 1u);
  ASSERT_EQ(encoded_.body.size(), 1u) << "pages that lie side by side are one piece";
  EXPECT_EQ(encoded_.body[0].data(), pages.data()) << "and are not copied";
}

TEST_F(BatchEncoderTest, PiecesAreInTheOrderOfTheTable) {
  const Bytes pages = text_page(1, 12 * kPage);
  for (uint64_t i : {0, 1, 2, 10, 11, 5}) batch_.add(0, 20 * i, &pages[i * kPage]);
  encoder_.encode(batch_, 0, kRaw, encoded_);
  ASSERT_EQ(encoded_.body.size(), 3u);
  EXPECT_EQ(encoded_.body[0].size(), 3 * kPage);
  EXPECT_EQ(encoded_.body[1].data(), &pages[10 * kPage]);
  EXPECT_EQ(encoded_.body[1].size(), 2 * kPage);
  EXPECT_EQ(encoded_.body[2].data(), &pages[5 * kPage]);
  EXPECT_EQ(encoded_.body_size, 6 * kPage);
}

TEST_F(BatchEncoderTest, FindsZeroPages) {
  const Bytes text = text_page(1);
  const Bytes zeros(kPage);
  Bytes almost(kPage);
  almost.back() = 1;
  for (const Encoding& encoding : {kRaw, kZstd, kDelta, kDeltaZstd}) {
    batch_.clear();
    uint64_t index = 0;
    for (const Bytes* page : std::vector<const Bytes*>{&text, &zeros, &zeros, &almost})
      batch_.add(0, index++, page->data());
    encoder_.encode(batch_, 0, encoding, encoded_);
    const auto got = kinds();
    ASSERT_EQ(got.size(), 4u);
    EXPECT_NE(got[0], PageKind::zero);
    EXPECT_EQ(got[1], PageKind::zero);
    EXPECT_EQ(got[2], PageKind::zero);
    EXPECT_NE(got[3], PageKind::zero);
    EXPECT_EQ(encoded_.counts.zero, 2u);
  }
}

// The destination's VMM may not accept a zero page there.
TEST_F(BatchEncoderTest, AZeroPageThatCameAsDataStaysDataWhereItIsNotPlaced) {
  PageHistory none{1'000'000};
  none.set_space(kSpace);
  PageHistory other{1'000'000};
  other.set_space(kSpace);
  other.refer_to({1});
  PageHistory copies{1'000'000};
  copies.set_space(kSpace);
  copies.refer_to_copies(10);
  const Bytes zeros(kPage);
  for (PageHistory* history : {static_cast<PageHistory*>(nullptr), &none, &other, &copies}) {
    BatchEncoder encoder(history);
    for (const Encoding& encoding : {kRaw, kZstd, kDelta, kDeltaZstd}) {
      batch_.clear();
      batch_.add(0, 0, zeros.data());
      batch_.add(0, 1, nullptr);
      encoder.encode(batch_, 0, encoding, encoded_);
      EXPECT_NE(kinds().at(0), PageKind::zero);
      EXPECT_EQ(kinds().at(1), PageKind::zero) << "as the VMM has said";
      EXPECT_EQ(encoded_.counts.zero, 1u);
    }
  }
}

TEST_F(BatchEncoderTest, CompressesWhatCompresses) {
  Bytes all;
  for (uint32_t i = 0; i < 10; ++i) {
    const Bytes page = text_page(i);
    all.insert(all.end(), page.begin(), page.end());
    batch_.add(0, i, keep(page));
  }
  encoder_.encode(batch_, 0, kZstd, encoded_);
  EXPECT_EQ(kinds(), std::vector(10, PageKind::packed));
  EXPECT_EQ(encoded_.counts.zstd, 10u);
  EXPECT_EQ(encoded_.plain_size, all.size());
  EXPECT_LT(encoded_.pack_size, all.size() / 2);
  EXPECT_EQ(encoded_.body_size, encoded_.pack_size);
  EXPECT_EQ(plain(), all);
}

TEST_F(BatchEncoderTest, RandomPagesGoAsTheyAreBehindThePack) {
  const uint8_t* text = keep(text_page(1));
  const uint8_t* noise = keep(random_page(2));
  batch_.add(0, 0, noise);
  batch_.add(0, 1, text);
  batch_.add(0, 2, noise);
  encoder_.encode(batch_, 0, kZstd, encoded_);
  EXPECT_EQ(kinds(), (std::vector{PageKind::raw, PageKind::packed, PageKind::raw}));
  ASSERT_EQ(encoded_.body.size(), 3u);
  EXPECT_EQ(encoded_.body[0].size(), encoded_.pack_size);
  EXPECT_EQ(encoded_.body[1].data(), noise);
  EXPECT_EQ(encoded_.body[2].data(), noise);
  EXPECT_EQ(encoded_.body_size, encoded_.pack_size + 2 * kPage);
  EXPECT_EQ(plain(), text_page(1));
}

// Compressible only where looks_random() takes its sample.
TEST_F(BatchEncoderTest, APackThatHardlyShrinksStaysPlain) {
  constexpr uint32_t kLarge = 65536;
  Bytes page = random_page(3, kLarge);
  for (size_t i = 0; i < 8; ++i) std::memset(&page[i * ((kLarge - 64) / 7)], 'x', 64);
  ASSERT_FALSE(looks_random(page));
  batch_.page_size = kLarge;
  batch_.add(0, 0, page.data());
  encoder_.encode(batch_, 0, kZstd, encoded_);
  EXPECT_EQ(kinds(), std::vector{PageKind::packed});
  EXPECT_EQ(encoded_.plain_size, kLarge);
  EXPECT_EQ(encoded_.pack_size, kLarge);
  EXPECT_EQ(body_of(encoded_), page);
}

TEST_F(BatchEncoderTest, OfAPageThatComesAgainTheChangedLinesAreSent) {
  const Bytes first = random_page(1);
  const Bytes second = with_line(with_line(first, 3, 0xaa), 60, 0xbb);
  EXPECT_EQ(encode_one(9, first, kDelta), PageKind::raw);
  EXPECT_EQ(encode_one(9, second, kDelta), PageKind::lines);
  EXPECT_EQ(encoded_.counts.delta, 1u);
  EXPECT_EQ(encoded_.plain_size, 16 + 2 * kLine);
  EXPECT_EQ(encoded_.body_size, encoded_.plain_size) << "plain: there is no level";
  Bytes out(kPage);
  EXPECT_TRUE(apply_lines(plain(), first.data(), kPage, history_.secret(), out.data()));
  EXPECT_EQ(out, second);
  EXPECT_EQ(encode_one(9, second, kDelta), PageKind::lines);
  EXPECT_EQ(encoded_.plain_size, 16u) << "nothing has changed";
}

TEST_F(BatchEncoderTest, LinesAreCompressedWithALevel) {
  for (uint32_t round = 0; round < 2; ++round) {
    batch_.clear();
    for (uint32_t i = 0; i < 8; ++i) {
      Bytes page = text_page(i);
      const Bytes news = text_page(100 + i, 10 * kLine);
      if (round == 1) std::copy(news.begin(), news.end(), page.begin());
      batch_.add(0, i, keep(page));
    }
    encoder_.encode(batch_, 0, kDeltaZstd, encoded_);
  }
  EXPECT_EQ(kinds(), std::vector(8, PageKind::lines));
  EXPECT_EQ(encoded_.plain_size, 8 * (16 + 10 * kLine));
  EXPECT_LT(encoded_.pack_size, encoded_.plain_size);
}

TEST_F(BatchEncoderTest, NothingRefersToWhatTheDestinationCannotRead) {
  PageHistory history;
  history.set_space(kSpace);
  BatchEncoder encoder(&history);
  const Bytes page = random_page(1);
  batch_.add(0, 1, page.data());
  for (int i = 0; i < 3; ++i) {
    encoder.encode(batch_, 0, kDelta, encoded_);
    EXPECT_EQ(kinds(), std::vector{PageKind::raw});
  }
  history.refer_to({0});
  encoder.encode(batch_, 0, kDelta, encoded_);
  EXPECT_NE(kinds(), std::vector{PageKind::raw}) << "it was remembered all the time";
}

TEST_F(BatchEncoderTest, APageOfWhichMuchHasChangedIsSentWholeAndIsTheNextBase) {
  const Bytes first = text_page(1);
  Bytes second = first;
  for (uint32_t line = 0; line < 41; ++line) second = with_line(second, line, static_cast<uint8_t>(line + 1));
  EXPECT_EQ(encode_one(0, first, kDeltaZstd), PageKind::packed);
  EXPECT_EQ(encode_one(0, second, kDeltaZstd), PageKind::packed);
  EXPECT_EQ(plain(), second);
  const Bytes third = with_line(second, 63, 1);
  EXPECT_EQ(encode_one(0, third, kDeltaZstd), PageKind::lines);
  EXPECT_EQ(encoded_.plain_size, 16 + kLine);
}

TEST_F(BatchEncoderTest, APageThatComesOftenIsSentAsTheBytesThatChanged) {
  PageHistory history;
  history.set_space(kSpace);
  history.refer_to({0});
  BatchEncoder encoder(&history);
  Bytes page = random_page(1);
  batch_.add(0, 1, page.data());
  for (uint8_t round = 0; round < 10; ++round) {
    page[1000] = round;
    encoder.encode(batch_, 0, kDelta, encoded_);
  }
  EXPECT_EQ(kinds(), std::vector{PageKind::patch});
  EXPECT_EQ(encoded_.counts.delta, 1u);
  EXPECT_LE(encoded_.plain_size, kSumBytes + 8u);
  Bytes base = page;
  base[1000] = 77;
  ASSERT_TRUE(apply_patch(std::span<const uint8_t>(plain()).subspan(kSumBytes), base));
  EXPECT_EQ(base, page);
  // Much changed at once: whole, and again little by little.
  std::ranges::copy(random_page(2), page.begin());
  encoder.encode(batch_, 0, kDelta, encoded_);
  EXPECT_EQ(kinds(), std::vector{PageKind::raw});
  base = page;
  page[5] ^= 1;
  encoder.encode(batch_, 0, kDelta, encoded_);
  EXPECT_EQ(kinds(), std::vector{PageKind::patch});
  ASSERT_TRUE(apply_patch(std::span<const uint8_t>(plain()).subspan(kSumBytes), base));
  EXPECT_EQ(base, page);
}

TEST_F(BatchEncoderTest, APageThatWasZeroInBetweenIsSentWhole) {
  const Bytes page = random_page(1);
  EXPECT_EQ(encode_one(0, page, kDelta), PageKind::raw);
  EXPECT_EQ(encode_one(0, Bytes(kPage), kDelta), PageKind::zero);
  EXPECT_EQ(encode_one(0, page, kDelta), PageKind::raw);
  // The VMM says that these pages are zero, as one run.
  PageBatch zeros;
  zeros.page_size = kPage;
  zeros.add_run({0, PageKind::zero, 10, 0});
  encoder_.encode(zeros, 0, kDelta, encoded_);
  EXPECT_EQ(encode_one(0, page, kDelta), PageKind::raw);
  EXPECT_EQ(encode_one(0, page, kDelta), PageKind::lines) << "the test tells these apart";
}

TEST_F(BatchEncoderTest, WhatIsSentWithoutAMemoryIsForgotten) {
  const Bytes page = random_page(1);
  EXPECT_EQ(encode_one(0, page, kDelta), PageKind::raw);
  EXPECT_EQ(encode_one(0, page, {History::forgotten, std::nullopt, false}), PageKind::raw);
  EXPECT_EQ(encode_one(0, page, kDelta), PageKind::raw);
  EXPECT_EQ(encode_one(0, page, kDelta), PageKind::lines);
}

TEST_F(BatchEncoderTest, ABatchEncodedOnceMoreLeavesTheHistoryAlone) {
  const Bytes first = random_page(1);
  const Bytes second = with_line(first, 0, 1);
  const Bytes third = with_line(second, 1, 2);
  EXPECT_EQ(encode_one(0, first, kDelta), PageKind::raw);
  EXPECT_EQ(encode_one(0, second, kDelta), PageKind::lines);
  EXPECT_EQ(encode_one(0, first, kRaw), PageKind::raw) << "refers to nothing";
  EXPECT_EQ(encode_one(0, Bytes(kPage), kRaw), PageKind::zero);
  PageBatch zeros;
  zeros.page_size = kPage;
  zeros.add_run({0, PageKind::zero, 10, 0});
  encoder_.encode(zeros, 0, kRaw, encoded_);
  EXPECT_EQ(encode_one(0, third, kDelta), PageKind::lines);
  EXPECT_EQ(encoded_.plain_size, 16 + kLine) << "against the second";
}

TEST_F(BatchEncoderTest, WithoutAHistoryNothingIsRemembered) {
  BatchEncoder encoder;
  const Bytes page = random_page(1);
  batch_.add(0, 0, page.data());
  batch_.add(0, 1, nullptr);
  for (int i = 0; i < 2; ++i) {
    encoder.encode(batch_, 0, kDelta, encoded_);
    EXPECT_EQ(kinds(), (std::vector{PageKind::raw, PageKind::zero}));
  }
}

TEST_F(BatchEncoderTest, SumsAreOfEachPageThatIsNotZero) {
  const std::vector<Bytes> pages = {random_page(1), Bytes(kPage), text_page(2), random_page(3)};
  for (Encoding encoding : {kRaw, kZstd, kDeltaZstd, kDeltaZstd}) {
    encoding.sums = true;
    batch_.clear();
    for (uint64_t i = 0; i < pages.size(); ++i) batch_.add(0, i, pages[i].data());
    batch_.add(0, 9, nullptr);
    encoder_.encode(batch_, 0, encoding, encoded_);
    const Bytes packed = plain();
    ASSERT_GE(packed.size(), 3 * kDigestBytes);
    auto at = packed.end() - 3 * kDigestBytes;
    for (size_t i : {0, 2, 3}) {
      auto digest = digest_page(pages[i].data(), kPage);
      ASSERT_TRUE(digest) << digest.error().message;
      EXPECT_TRUE(std::equal(digest->begin(), digest->end(), at)) << i;
      at += kDigestBytes;
    }
  }
}

// Where each page is of another kind than its neighbours, there are as many runs as pages. The most that
// has_room() admits must still be a table that the destination reads.
TEST_F(BatchEncoderTest, ItsTableIsNeverTooLong) {
  constexpr uint32_t kSmall = 1024;
  const PageSpace space{kSmall, {4096}};
  const Bytes text = text_page(1, kSmall);
  const Bytes noise = random_page(2, kSmall);
  const Bytes zeros(kSmall);
  size_t most = 0;
  for (uint32_t pattern = 0; pattern < 6; ++pattern) {
    std::mt19937 random(pattern);
    PageBatch batch;
    batch.page_size = kSmall;
    // One run of pages that turn out to be of alternating kinds, single zero pages, and both mixed.
    for (uint64_t index = 0; batch.has_room() && index < 4000; ++index) {
      const uint32_t draw = pattern < 3 ? static_cast<uint32_t>(index % (pattern + 1)) : random() % 4;
      const uint64_t at = pattern % 2 ? index : 3 * index % 4096;
      batch.add(0, at,
                draw == 0   ? text.data()
                : draw == 1 ? noise.data()
                : draw == 2 ? nullptr
                            : zeros.data());
    }
    for (uint64_t index = 4001; batch.has_room(); index += 2) batch.add(0, index % 4096, nullptr);
    encoder_.encode(batch, 0, {History::untouched, 1, true}, encoded_);
    auto read = read_table(encoded_.table, space);
    ASSERT_TRUE(read) << pattern << ": " << read.error().message;
    EXPECT_EQ(read->page_count(), batch.page_count());
    EXPECT_LE(encoded_.plain_size, kMostPlain);
    most = std::max(most, read->runs.size());
  }
  EXPECT_GT(most, kBatchRuns / 2) << "the test must come near the bound";
}

TEST_F(BatchEncoderTest, StartsAfreshWithEachBatch) {
  batch_.add(0, 0, keep(text_page(1)));
  encoder_.encode(batch_, 0, {History::kept, 1, true}, encoded_);
  PageBatch other;
  other.page_size = kPage;
  other.add(1, 1, nullptr);
  encoder_.encode(other, 0, {History::kept, 1, true}, encoded_);
  EXPECT_EQ(encoded_.table.size(), kRunBytes);
  EXPECT_TRUE(encoded_.body.empty());
  EXPECT_EQ(encoded_.body_size, 0u);
  EXPECT_EQ(encoded_.pack_size, 0u);
  EXPECT_EQ(encoded_.plain_size, 0u);
  EXPECT_EQ(encoded_.counts.zstd, 0u);
  EXPECT_EQ(encoded_.counts.zero, 1u);
}

TEST_F(BatchEncoderTest, PacksBytesThatAreNoPages) {
  const Bytes text = text_page(1, 100'000);
  const auto packed = encoder_.pack(text, 1);
  ASSERT_FALSE(packed.empty());
  EXPECT_LT(packed.size(), text.size() / 2);
  Bytes out(text.size());
  BatchDecoder decoder;
  ASSERT_TRUE(decoder.unpack(packed, out));
  EXPECT_EQ(out, text);
}

TEST_F(BatchEncoderTest, DoesNotPackWhereThatDoesNotPay) {
  EXPECT_TRUE(encoder_.pack(random_page(1, 100'000), 1).empty());
  EXPECT_TRUE(encoder_.pack({}, 1).empty());
  EXPECT_TRUE(encoder_.pack(text_page(1, 100), 1).empty()) << "too short";
  EXPECT_FALSE(encoder_.pack(text_page(1, kMostPlain), 1).empty());
  EXPECT_TRUE(encoder_.pack(text_page(1, kMostPlain + 1), 1).empty()) << "too long for the buffers";
}

TEST(LooksRandom, TellsNoiseFromWhatCompresses) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    EXPECT_TRUE(looks_random(random_page(seed))) << seed;
    EXPECT_FALSE(looks_random(text_page(seed))) << seed;
  }
  EXPECT_FALSE(looks_random(Bytes(4096)));
  EXPECT_FALSE(looks_random(random_page(1, 511))) << "too short to say";
  EXPECT_FALSE(looks_random({}));
  Bytes numbers(4096);  // counters of 32 bits
  for (uint32_t i = 0; i < 1024; ++i) std::memcpy(&numbers[4 * i], &i, 4);
  EXPECT_FALSE(looks_random(numbers));
}

}  // namespace
}  // namespace wherry
