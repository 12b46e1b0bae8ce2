#include "transport/destination/berth.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "compression/page_digest.h"
#include "tests/base/expect_error.h"
#include "tests/transport/destination/landing_fixture.h"
#include "tests/transport/support.h"

namespace wherry {
namespace {

using test::kModelPage;
using test::Script;
using test::with_byte;
using Log = test::ModelSite::Log;

class BerthTest : public test::LandingFixture {};

TEST_F(BerthTest, GivesItsClaimUpWhenItGoes) {
  begin({4});
  Script main(0);
  main.page(0, 2, 7);
  const Arrival& frame = main.frames()[1];
  {
    auto berth = landing_->claim(frame.header);
    ASSERT_TRUE(berth && *berth);
    berth->name_pages(frame.pages);
    EXPECT_ERROR(landing_->claim(frame.header), "came twice");
  }
  ASSERT_TRUE(arrive(frame));
  EXPECT_EQ(site_.page(0, 2), main.content(7));
}

TEST_F(BerthTest, KeepsItsClaimAndItsMemoryWhenItIsMoved) {
  Script main(0);
  main.record("a");
  auto claimed = landing_->claim(main.frames()[1].header);
  ASSERT_TRUE(claimed && *claimed);
  const std::span<uint8_t> room = claimed->make_room(3, {});
  Berth berth = std::move(*claimed);
  EXPECT_TRUE(berth);
  std::fill(room.begin(), room.end(), uint8_t{'x'});
  EXPECT_EQ(test::text_of(berth.body()), "xxx");
  EXPECT_ERROR(landing_->claim(main.frames()[1].header), "came twice");
  ASSERT_TRUE(std::move(berth).arrive());
  ASSERT_TRUE(arrive(main.frames()[0]));
  ASSERT_TRUE(wait_acknowledged(2));
  EXPECT_EQ(site_.log(0), (Log{"rxxx"}));
}

// What a source sends when it is asked again may be here before the asking returns.
TEST_F(BerthTest, IsEmptyOnceItsBatchWasAskedForAgain) {
  begin({4});
  Script main(0);
  main.lines(0, 2, main.content(7), with_byte(main.content(7), 500, 1));
  const Arrival& frame = main.frames()[1];
  auto berth = landing_->claim(frame.header);
  ASSERT_TRUE(berth && *berth);
  berth->name_pages(frame.pages);
  std::vector<uint8_t> scratch;
  auto placed = berth->place(scratch);
  ASSERT_TRUE(placed) << placed.error().message;
  EXPECT_FALSE(*placed);
  EXPECT_FALSE(*berth);
  EXPECT_EQ(asked_again(), (Asked{{0, 1}}));
  EXPECT_EQ(landing_->totals().asked_again, 1u);
  auto again = landing_->claim(frame.header);
  EXPECT_TRUE(again && *again);
}

TEST_F(BerthTest, OnlyRawPagesWhoseEpochIsOpenAreReceivedInPlace) {
  begin({4}, false);
  Script main(0);
  main.page(0, 2, 7).record("a", kEpochEnd, 1).page(0, 2, 8);
  std::vector<iovec> where;
  const auto targets = [&](size_t frame, uint32_t pack) {
    FrameHeader header = main.frames()[frame].header;
    header.pack_length = pack;
    auto berth = landing_->claim(header);
    EXPECT_TRUE(berth && *berth);
    berth->name_pages(main.frames()[frame].pages);
    where.clear();
    return berth->targets(where);
  };
  EXPECT_FALSE(targets(1, 0)) << "the VMM is not ready";
  landing_->guest().ready();
  EXPECT_FALSE(targets(1, 8)) << "it has a pack";
  EXPECT_FALSE(targets(3, 0)) << "its epoch is not open";
  ASSERT_TRUE(targets(1, 0));
  ASSERT_EQ(where.size(), 1u);
  EXPECT_EQ(where[0].iov_len, kModelPage);
}

TEST_F(BerthTest, PlacesPagesAtOnceWhenTheirEpochIsOpen) {
  begin({4});
  Script main(0);
  main.page(0, 2, 7);
  ASSERT_TRUE(arrive(main.frames()[1]));
  EXPECT_EQ(site_.page(0, 2), main.content(7)) << "even ahead of the channel's order";
  EXPECT_TRUE(acknowledged(0, 1));
  EXPECT_EQ(landing_->totals().placed_pages, 1u);
}

TEST_F(BerthTest, PlacesNothingBeforeTheDestinationIsReady) {
  begin({4}, false);
  Script main(0);
  main.record("a").page(0, 2, 7).record("b").close();
  arrive_all(main);
  ASSERT_TRUE(wait_acknowledged(2));
  EXPECT_FALSE(acknowledged(0, 2));
  EXPECT_EQ(site_.page(0, 2), std::vector<uint8_t>(kModelPage, 0xee));
  landing_->guest().ready();
  ASSERT_TRUE(wait_acknowledged(5));
  EXPECT_EQ(site_.page(0, 2), main.content(7));
  EXPECT_EQ(site_.log(0), (Log{"ra", "p 0:2", "rb", "c"}));
}

class ChangedLines : public BerthTest, public testing::WithParamInterface<bool> {};

TEST_P(ChangedLines, AreAppliedToWhatIsThere) {
  site_.by_iovec = GetParam();
  begin({4});
  Script main(0);
  const auto first = main.content(7);
  const auto second = with_byte(first, 500, 1);
  const auto third = with_byte(second, 999, 2);
  main.page(0, 2, 7).record("a", kEpochEnd, 1).lines(0, 2, first, second).record("b", kEpochEnd, 1);
  main.lines(0, 2, second, third).close();
  arrive_all(main);
  ASSERT_TRUE(wait_acknowledged(7));
  EXPECT_EQ(site_.page(0, 2), third);
  EXPECT_EQ(landing_->totals().placed_pages, 3u);
  EXPECT_TRUE(asked_again().empty());
}

INSTANTIATE_TEST_SUITE_P(WhetherMemoryIsMapped, ChangedLines, testing::Bool());

TEST_F(BerthTest, ABatchThatLandsAtOnceOnAnotherBaseIsAskedForAgain) {
  begin({4});
  Script main(0);
  const auto now = with_byte(main.content(7), 500, 1);
  main.lines(0, 2, main.content(7), now).record("behind").close();
  arrive_all(main);
  EXPECT_EQ(wait_asked_again(1), (Asked{{0, 1}}));
  EXPECT_EQ(site_.page(0, 2), std::vector<uint8_t>(kModelPage, 0xee)) << "as it was";
  EXPECT_FALSE(acknowledged(0, 1));
  EXPECT_EQ(landing_->totals().placed_pages, 0u);
  ASSERT_TRUE(arrive(main.whole(1, now)));
  ASSERT_TRUE(wait_acknowledged(4));
  EXPECT_EQ(site_.page(0, 2), now);
  EXPECT_EQ(site_.log(0), (Log{"rbehind", "c"}));
  EXPECT_EQ(landing_->totals().placed_pages, 1u);
  EXPECT_EQ(asked_again().size(), 1u);
}

TEST_F(BerthTest, ABatchThatWaitedForItsEpochOnAnotherBaseIsAskedForAgain) {
  begin({4}, false);
  Script main(0);
  const auto now = with_byte(main.content(7), 500, 1);
  main.record("ahead").lines(0, 2, main.content(7), now).record("behind").close();
  arrive_all(main);
  ASSERT_TRUE(site_.wait_log(0, 1));
  landing_->guest().ready();
  EXPECT_EQ(wait_asked_again(1), (Asked{{0, 2}}));
  EXPECT_FALSE(acknowledged(0, 2));
  EXPECT_EQ(site_.log(0), (Log{"rahead"})) << "what follows it waits";
  ASSERT_TRUE(arrive(main.whole(2, now)));
  ASSERT_TRUE(wait_acknowledged(5));
  EXPECT_EQ(site_.page(0, 2), now);
  EXPECT_EQ(site_.log(0).front(), "rahead");
  EXPECT_EQ(site_.log(0).back(), "c");
  EXPECT_EQ(asked_again().size(), 1u);
}

// Another channel goes on unseen while a batch waits for its epoch: from then on the VMM gets all pages,
// which it must get whole.
TEST_F(BerthTest, ChangedLinesAreAskedForWholeWhenPagesAreNoLongerPlaced) {
  begin({4});
  Script main(0);
  const auto first = main.content(7);
  const auto now = with_byte(first, 500, 1);
  main.page(0, 2, 7).record("a", kEpochEnd, 9).lines(0, 2, first, now).record("b").close();
  arrive_all(main);
  ASSERT_TRUE(site_.wait_log(0, 1));
  Script data(1);
  data.record("x", kOpaque).close();
  arrive_all(data);
  EXPECT_EQ(wait_asked_again(1), (Asked{{0, 3}}));
  EXPECT_FALSE(acknowledged(0, 3));
  ASSERT_TRUE(arrive(main.whole(3, now)));
  ASSERT_TRUE(wait_acknowledged(9));
  EXPECT_EQ(site_.log(0), (Log{"ra", "w 0:2", "rb", "c"}));
  EXPECT_EQ(site_.page(0, 2), now);
}

class WrongSum : public BerthTest, public testing::WithParamInterface<bool> {};

TEST_P(WrongSum, IsAnError) {
  site_.direct = GetParam();
  begin({4}, false);
  Script main(0);
  main.page(0, 2, 7);
  const std::vector<uint8_t> sum(kDigestBytes, 1);
  main.frames()[1].pages.sums = sum.data();
  arrive_all(main);
  landing_->guest().ready();
  EXPECT_ERROR(wait_failure(), "page 2", "block number 0");
}

INSTANTIATE_TEST_SUITE_P(WhetherPlaced, WrongSum, testing::Bool());

}  // namespace
}  // namespace wherry
