// Pages that the encoder tells by what the destination holds: copies, and equal pages elsewhere.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <random>
#include <vector>

#include "compression/batch_decoder.h"
#include "compression/batch_encoder.h"
#include "compression/batch_table.h"
#include "compression/line_delta.h"
#include "compression/page_patch.h"
#include "compression/page_reference.h"
#include "tests/compression/batch_encoder_fixture.h"
#include "tests/compression/made_pages.h"
#include "tests/compression/sample_pages.h"

namespace wherry {
namespace {

using test::BatchEncoderTest;
using test::Bytes;
using test::kDelta;
using test::kDeltaZstd;
using test::kPage;
using test::kRaw;
using test::kSpace;
using test::random_page;
using test::text_page;
using History = Encoding::History;

// A destination that relays all pages.
class Copied : public testing::Test {
 protected:
  Copied() { history_.set_space(kSpace); }
  PageKind send(uint64_t index, const Bytes& page, uint32_t epoch) {
    PageBatch batch;
    batch.page_size = kPage;
    batch.add(0, index, page.data());
    encoder_.encode(batch, epoch, kDeltaZstd, encoded_);
    auto read = read_table(encoded_.table, kSpace);
    EXPECT_TRUE(read);
    return read ? read->runs.front().kind : PageKind::zero;
  }

  PageHistory history_;
  BatchEncoder encoder_{&history_};
  EncodedBatch encoded_;
};

TEST_F(Copied, APageIsKeptAndThenToldByItsChanges) {
  history_.refer_to_copies(10);
  Bytes page = text_page(1);
  EXPECT_EQ(send(5, page, 0), PageKind::keep);
  EXPECT_EQ(encoded_.copied, (std::vector<CopiedPage>{{0, 0}}));
  EXPECT_EQ(encoded_.counts.zstd, 1u);
  page[7] = 'y';
  EXPECT_EQ(send(5, page, 1), PageKind::kept);
  EXPECT_EQ(encoded_.copied, (std::vector<CopiedPage>{{0, 0}}));
  EXPECT_EQ(encoded_.counts.delta, 1u);
  EXPECT_LT(encoded_.body_size, 32u);
  EXPECT_EQ(send(5, text_page(2), 2), PageKind::keep) << "too much has changed";
  EXPECT_EQ(encoded_.copied, (std::vector<CopiedPage>{{0, 0}})) << "in its place";
}

TEST_F(Copied, NoMoreThanTheDestinationKeeps) {
  history_.refer_to_copies(2);
  for (uint64_t page = 0; page < 4; ++page) {
    const PageKind kind = send(page, text_page(static_cast<uint32_t>(page)), 0);
    EXPECT_EQ(kind, page < 2 ? PageKind::keep : PageKind::packed) << page;
  }
}

TEST_F(Copied, APageThatComesBackTakesThePlaceOfOneThatDoesNot) {
  history_.refer_to_copies(1);
  EXPECT_EQ(send(1, text_page(1), 0), PageKind::keep);
  EXPECT_EQ(send(2, text_page(2), 1), PageKind::packed);
  EXPECT_EQ(send(2, text_page(3), 2), PageKind::keep);
  EXPECT_EQ(send(1, text_page(1), 2), PageKind::packed) << "within the epoch the place is taken";
}

TEST_F(Copied, APageThatIsNewAllOverIsNotWorthACopy) {
  history_.refer_to_copies(10);
  const Bytes page = text_page(1);
  ASSERT_EQ(send(5, page, 0), PageKind::keep);
  EXPECT_EQ(send(5, random_page(1), 1), PageKind::raw);
  EXPECT_EQ(send(5, random_page(2), 2), PageKind::raw);
  EXPECT_EQ(send(5, page, 3), PageKind::keep) << "it has none any more";
}

TEST_F(Copied, AZeroPageLosesItsCopy) {
  history_.refer_to_copies(10);
  const Bytes page = text_page(1);
  ASSERT_EQ(send(5, page, 0), PageKind::keep);
  PageBatch zero;
  zero.page_size = kPage;
  zero.add(0, 5, nullptr);
  encoder_.encode(zero, 1, kDeltaZstd, encoded_);
  EXPECT_EQ(send(5, page, 2), PageKind::keep);
}

// With room for all pages, and for which has which content.
class SamePages : public BatchEncoderTest {
 protected:
  SamePages() { large_.refer_to({0}); }
  PageKind encode(uint64_t index, const Bytes& page, const Encoding& encoding = kDeltaZstd,
                  uint16_t block = 0) {
    PageBatch batch;
    batch.page_size = kPage;
    batch.add(block, index, keep(page));
    by_large_.encode(batch, 0, encoding, encoded_);
    return kinds().at(0);
  }
  void land() { large_.landed(encoded_.whole); }
  static PageHistory& prepared(PageHistory& history) {
    history.set_space(kSpace);
    return history;
  }

  PageHistory large_;
  BatchEncoder by_large_{&prepared(large_)};
};

TEST_F(SamePages, APageThatTheDestinationHoldsElsewhereIsSentAsAReference) {
  for (const auto& [index, page] :
       std::vector<std::pair<uint64_t, Bytes>>{{10, text_page(1)}, {20, random_page(1)}}) {
    EXPECT_NE(encode(index, page), PageKind::same);
    EXPECT_EQ(encoded_.whole.size(), 1u);
    land();
    EXPECT_EQ(encode(index + 1, page), PageKind::same);
    EXPECT_EQ(encoded_.counts.same, 1u);
    EXPECT_EQ(encoded_.counts.delta, 0u);
    EXPECT_EQ(encoded_.body_size, kReferenceBytes);
    EXPECT_EQ(get_reference(plain().data()),
              (PageReference{0, index, hash_content(page.data(), kPage, large_.secret())}));
    EXPECT_TRUE(encoded_.whole.empty());
    EXPECT_EQ(encode(index + 1, with_line(page, 3, 7)), PageKind::patch) << "it is remembered like any other";
  }
}

TEST_F(SamePages, AlsoWhereMuchOfAPageHasChanged) {
  const Bytes page = random_page(1);
  encode(1, random_page(2));
  encode(10, page);
  land();
  EXPECT_EQ(encode(1, page, kDelta), PageKind::same);
  EXPECT_EQ(encode(1, page, kDelta), PageKind::patch) << "unchanged: that is even shorter";
}

// One would land as the other.
TEST_F(SamePages, NotAPageThatWasMadeToHashAlike) {
  const auto [one, other] = test::made_pages(test::kKnownToAll);
  encode(10, one);
  land();
  EXPECT_EQ(encode(11, other), PageKind::raw);
  EXPECT_EQ(encode(12, one), PageKind::same) << "the test tells these apart";
}

TEST_F(SamePages, NotUntilItHasLanded) {
  const Bytes page = random_page(1);
  encode(10, page);
  EXPECT_EQ(encode(11, page), PageKind::raw);
  land();
  EXPECT_EQ(encode(12, page), PageKind::same);
}

TEST_F(SamePages, NotAPageThatWasSentAnewSince) {
  const Bytes page = random_page(1);
  encode(10, page);
  land();
  encode(10, with_line(page, 1, 1));
  EXPECT_EQ(encode(11, page), PageKind::raw);
  land();
  EXPECT_EQ(encode(12, page), PageKind::same);
  encode(11, Bytes(kPage));
  EXPECT_EQ(encode(12, random_page(2)), PageKind::raw);
  EXPECT_EQ(encode(13, page), PageKind::raw);
  land();
  encode(13, page, {History::forgotten, std::nullopt, false});
  EXPECT_EQ(encode(14, page), PageKind::raw);
}

TEST_F(SamePages, NeverThePageItself) {
  const Bytes page = random_page(1);
  encode(10, page);
  land();
  encode(10, random_page(2));
  EXPECT_EQ(encode(10, page), PageKind::raw) << "what it was before the last time";
  encode(10, Bytes(kPage));
  EXPECT_EQ(encode(10, page), PageKind::raw);
}

TEST_F(SamePages, OnlyInBlocksThatTheDestinationCanRead) {
  const Bytes page = random_page(1);
  EXPECT_EQ(encode(10, page, kDelta, 1), PageKind::raw);
  EXPECT_TRUE(encoded_.whole.empty());
  EXPECT_EQ(encode(11, page), PageKind::raw);
  land();
  EXPECT_EQ(encode(12, page, kDelta, 1), PageKind::raw);
  EXPECT_EQ(encode(12, page), PageKind::same) << "the test tells these apart";
}

TEST_F(SamePages, OnlyWhereTheHistoryIsKept) {
  const Bytes page = random_page(1);
  encode(10, page);
  land();
  EXPECT_EQ(encode(11, page, kRaw), PageKind::raw);
  EXPECT_TRUE(encoded_.whole.empty());
  EXPECT_EQ(encode(11, page, {History::forgotten, 1, false}), PageKind::raw);
  EXPECT_TRUE(encoded_.whole.empty());
  large_.disable();
  EXPECT_EQ(encode(11, page), PageKind::raw);
}

}  // namespace
}  // namespace wherry
