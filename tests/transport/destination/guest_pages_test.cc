#include "transport/destination/guest_pages.h"

#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <thread>

#include "compression/page_history.h"
#include "tests/base/expect_error.h"
#include "tests/transport/destination/landing_fixture.h"
#include "tests/transport/support.h"

namespace wherry {
namespace {

using test::kModelPage;
using test::Script;
using test::with_byte;
using Log = test::ModelSite::Log;

class GuestPagesTest : public test::LandingFixture {};

TEST_F(GuestPagesTest, NamesTheBlocksWhosePagesArePlaced) {
  site_.relayed = {1};
  begin({4, 4, 4});
  EXPECT_EQ(landing_->guest().bases(), (nlohmann::json{{"blocks", {0, 2}}, {"copies", 0}}));
}

TEST_F(GuestPagesTest, BlocksAreNamedOnce) {
  begin({4});
  EXPECT_ERROR(landing_->guest().name_blocks(test::model_blocks({4}), test::kSampleSecret),
               "RAM blocks twice");
  EXPECT_EQ(site_.times_blocks(), 1) << "the site must not hear of the second";
}

TEST_F(GuestPagesTest, WaitBlocksWaitsAndEndsWithTheSession) {
  std::atomic<int> known = 0;
  std::thread waiter([&] {
    if (const PageSpace* space = landing_->guest().wait_blocks())
      known = static_cast<int>(space->pages_of_block.size());
  });
  begin({4, 5});
  waiter.join();
  EXPECT_EQ(known, 2);
}

TEST_F(GuestPagesTest, AChannelThatIsFarAheadEndsTheSession) {
  begin({4});
  GuestPages& guest = landing_->guest();
  uint32_t epoch = 0;
  for (; epoch < EpochGate::kMostAhead; ++epoch) ASSERT_TRUE(guest.finish_epoch(1, epoch, 0)) << epoch;
  EXPECT_ERROR(guest.finish_epoch(1, epoch, 0), "channel 1", "ahead");
}

TEST_F(GuestPagesTest, KeepsCopiesInsteadWithoutAPlacement) {
  site_.direct = false;
  begin({4, 4});
  const nlohmann::json bases = landing_->guest().bases();
  EXPECT_EQ(bases["blocks"], nlohmann::json::array());
  EXPECT_GT(bases["copies"], 50'000);
  const GuestPages::Totals totals = landing_->totals().guest;
  EXPECT_EQ(totals.copies_bytes, 0u) << "memory is taken as copies come";
  EXPECT_LE(totals.copies_budget, 8 * kModelPage / 16 + (64 << 20));
  EXPECT_GE(totals.copies_budget, 64 << 20);
}

TEST(CopiesBudget, IsAtMostWhatTheHostCanAffordAndTheLimit) {
  constexpr uint64_t kUnbounded = std::numeric_limits<uint64_t>::max();
  const PageSpace small{kModelPage, {1}};
  const PageSpace largest{kModelPage, {kMaxGuestBytes / kModelPage}};
  EXPECT_EQ(copies_budget(small, kUnbounded), default_history(small));
  EXPECT_EQ(copies_budget(small, 1'000'000), 1'000'000u);
  EXPECT_EQ(copies_budget(largest, kUnbounded), uint64_t{8} << 30) << "the source says how large it is";
}

// A ModelSite would allocate that memory.
TEST_F(GuestPagesTest, OfTheLargestGuestKeepsNoMoreCopiesThanTheLimit) {
  class Site : public test::ModelSite {
    Result<std::unique_ptr<Placement>> blocks(const GuestBlocks&) override { return nullptr; }
  } site;
  GuestPages guest(site);
  ASSERT_TRUE(guest.name_blocks(test::model_blocks({kMaxGuestBytes / kModelPage}), test::kSampleSecret));
  EXPECT_LE(guest.totals().copies_budget, uint64_t{8} << 30);
  EXPECT_EQ(guest.totals().copies_bytes, 0u);
}

TEST_F(GuestPagesTest, RelaysWholePagesOfWhatChangedInItsCopies) {
  site_.direct = false;
  begin({4});
  Script main(0);
  const auto first = main.content(7);
  const auto second = with_byte(first, 200, 1);
  const auto third = with_byte(second, 9, 9);
  main.keep(0, 2, 5, first).record("a", kEpochEnd, 1).kept(0, 2, 5, second, 200).record("b", kEpochEnd, 1);
  main.kept(0, 2, 5, third, 9).close();
  arrive_all(main);
  ASSERT_TRUE(wait_acknowledged(7));
  EXPECT_EQ(site_.log(0), (Log{"w 0:2", "ra", "w 0:2", "rb", "w 0:2", "c"}));
  EXPECT_EQ(site_.page(0, 2), third);
  EXPECT_EQ(landing_->totals().relayed_pages, 3u);
  EXPECT_GE(landing_->totals().guest.copies_bytes, kModelPage);
}

// The page was kept by another channel, or its place was another page's.
TEST_F(GuestPagesTest, CopiesAreUsedInTheOrderOfEpochsThoughNothingIsPlaced) {
  site_.direct = false;
  begin({4});
  Script main(0);
  Script data(1);
  const auto first = data.content(7);
  const auto second = with_byte(first, 200, 1);
  main.record("a", kEpochEnd, 2).kept(0, 2, 5, second, 200).record("b").close();
  data.keep(0, 2, 5, first).record("x", kEpochEnd).close();
  arrive_all(main);
  ASSERT_TRUE(site_.wait_log(0, 1));
  EXPECT_FALSE(acknowledged(0, 2));
  arrive_all(data);
  ASSERT_TRUE(wait_acknowledged(9));
  EXPECT_EQ(site_.log(0), (Log{"ra", "w 0:2", "rb", "c"}));
  EXPECT_EQ(site_.page(0, 2), second);
}

TEST_F(GuestPagesTest, CopiesAreAskedForWholeWhenEpochsHaveNoOrderAnyMore) {
  site_.direct = false;
  begin({4});
  Script main(0);
  Script data(1);
  const auto now = main.content(8);
  main.record("a", kEpochEnd, 2).kept(0, 2, 5, now, 200).record("b").close();
  data.record("x", kOpaque).close();
  arrive_all(main);
  arrive_all(data);
  EXPECT_EQ(wait_asked_again(1), (Asked{{0, 2}}));
  ASSERT_TRUE(arrive(main.whole(2, now)));
  ASSERT_TRUE(wait_acknowledged(8));
  EXPECT_EQ(site_.log(0), (Log{"ra", "w 0:2", "rb", "c"}));
  EXPECT_EQ(site_.page(0, 2), now);
}

// It can be what the source sends when it was asked for the batch once more.
TEST_F(GuestPagesTest, APageToBeKeptIsJustAPageWhenEpochsHaveNoOrderAnyMore) {
  site_.direct = false;
  begin({4});
  Script main(0);
  Script data(1);
  data.record("x", kOpaque).close();
  arrive_all(data);
  ASSERT_TRUE(wait_acknowledged(3));
  const auto now = main.content(8);
  main.keep(0, 2, 5, now).close();
  arrive_all(main);
  ASSERT_TRUE(wait_acknowledged(6));
  EXPECT_EQ(site_.page(0, 2), now);
  EXPECT_EQ(landing_->totals().guest.copies_bytes, 0u);
}

TEST_F(GuestPagesTest, ACopyOfAnotherPageIsAskedForWhole) {
  site_.direct = false;
  begin({4});
  Script main(0);
  const auto now = main.content(8);
  main.keep(0, 2, 5, main.content(7)).record("a", kEpochEnd, 1).kept(0, 3, 5, now, 200).close();
  arrive_all(main);
  EXPECT_EQ(wait_asked_again(1), (Asked{{0, 3}}));
  ASSERT_TRUE(arrive(main.whole(3, now)));
  ASSERT_TRUE(wait_acknowledged(5));
  EXPECT_EQ(site_.page(0, 3), now);
}

TEST_F(GuestPagesTest, ACopyWherePagesArePlacedIsAnError) {
  begin({4}, false);
  Script main(0);
  main.kept(0, 2, 5, main.content(7), 200);
  arrive_all(main);
  landing_->guest().ready();
  EXPECT_ERROR(wait_failure(), "refers to pages", "not held here");
}

TEST_F(GuestPagesTest, ChangedLinesOfWhatIsNeverPlacedAreAnError) {
  site_.direct = false;
  begin({4});
  Script main(0);
  main.lines(0, 2, main.content(7), main.content(8));
  arrive_all(main);
  EXPECT_ERROR(wait_failure(), "refers to pages", "not held here");
}

TEST_F(GuestPagesTest, ChangedLinesOfABlockThatThePlacementDoesNotTakeAreAnError) {
  site_.relayed = {1};
  begin({4, 4});
  Script main(0);
  main.lines(1, 2, main.content(7), main.content(8));
  arrive_all(main);
  EXPECT_ERROR(wait_failure(), "the site cannot read block 1");
}

TEST_F(GuestPagesTest, RelaysEverythingWithoutAPlacement) {
  site_.direct = false;
  begin({4});
  Script main(0);
  main.record("a").batch({{0, 0, 5}, {0, 2, 0}}).record("b", kEpochEnd, 1).page(0, 0, 6).close();
  arrive_all(main);
  ASSERT_TRUE(wait_acknowledged(6));
  EXPECT_EQ(site_.log(0), (Log{"ra", "w 0:0 0:2", "rb", "w 0:0", "c"}));
  EXPECT_EQ(site_.page(0, 0), main.content(6));
  EXPECT_EQ(landing_->totals().relayed_pages, 3u);
  EXPECT_EQ(landing_->totals().placed_pages, 0u);
}

TEST_F(GuestPagesTest, OpaqueBeforeAnyPageRelaysFromThenOn) {
  begin({4});
  Script main(0);
  Script data(1);
  data.record("x", kOpaque).record("y").close();
  main.record("a").page(0, 1, 5).record("b").close();
  arrive_all(data);
  ASSERT_TRUE(wait_acknowledged(4));
  EXPECT_TRUE(landing_->totals().guest.withdrawn);
  arrive_all(main);
  ASSERT_TRUE(wait_acknowledged(9));
  EXPECT_EQ(site_.log(0), (Log{"ra", "w 0:1", "rb", "c"}));
  EXPECT_EQ(landing_->totals().relayed_pages, 1u);
}

TEST_F(GuestPagesTest, OpaqueRelaysAlsoWhatIsWaitingForItsEpoch) {
  begin({4});
  Script main(0);
  main.record("a", kEpochEnd, 9).page(0, 1, 5).record("b").close();
  arrive_all(main);
  ASSERT_TRUE(site_.wait_log(0, 1));
  // Nothing of the second epoch can land: eight channels have not finished the first.
  Script data(1, ChannelKind::data);
  data.record("x", kOpaque).close();
  arrive_all(data);
  ASSERT_TRUE(wait_acknowledged(8));
  EXPECT_EQ(site_.log(0), (Log{"ra", "w 0:1", "rb", "c"}));
}

// A data channel's first packet can be opaque before the main channel has named the blocks.
TEST_F(GuestPagesTest, OpaqueBeforeTheBlocksAreKnownRelaysToo) {
  Script data(1);
  data.record("x", kOpaque).close();
  arrive_all(data);
  ASSERT_TRUE(wait_acknowledged(3));
  begin({4});
  Script main(0);
  main.page(0, 1, 5).close();
  arrive_all(main);
  ASSERT_TRUE(wait_acknowledged(6));
  EXPECT_EQ(site_.log(0), (Log{"w 0:1", "c"}));
  EXPECT_EQ(landing_->totals().placed_pages, 0u);
}

TEST_F(GuestPagesTest, OpaqueOfTheMainChannelAfterItsOwnPlacedPagesIsFineUnlessItRefersBack) {
  begin({4});
  Script main(0);
  main.page(0, 1, 5).record("x", kOpaque).close();
  arrive_all(main);
  ASSERT_TRUE(wait_acknowledged(4));
  EXPECT_EQ(site_.log(0), (Log{"rx", "c"}));
  Script data(1);
  data.page(0, 1, 6).close();
  arrive_all(data);
  ASSERT_TRUE(wait_acknowledged(7));
  EXPECT_EQ(site_.log(1), (Log{"w 0:1", "c"}));
  EXPECT_EQ(site_.page(0, 1), main.content(6));
}

TEST_F(GuestPagesTest, OpaqueThatRefersBackToPlacedPagesIsAnError) {
  begin({4});
  Script main(0);
  main.page(0, 1, 5).record("x", kOpaque | kNeedsPages);
  arrive_all(main);
  EXPECT_ERROR(wait_failure(), "channel 0", "placement=relay");
  EXPECT_TRUE(site_.log(0).empty()) << "nothing of it reached the destination";
}

// Such a batch is placed by its channel's thread, which also relays the rest of it.
TEST_F(GuestPagesTest, OpaqueThatRefersBackToABatchThatIsPartlyPlacedIsAnError) {
  site_.relayed = {1};
  begin({4, 4});
  Script main(0);
  main.batch({{0, 1, 5}, {1, 2, 6}}).record("x", kOpaque | kNeedsPages);
  arrive_all(main);
  EXPECT_ERROR(wait_failure(), "channel 0", "placement=relay");
}

TEST_F(GuestPagesTest, OpaqueOfADataChannelAfterPlacedPagesIsAnError) {
  begin({4});
  Script main(0);
  Script data(1);
  data.page(0, 1, 5).record("x", kOpaque);
  main.record("a");
  arrive_all(main);
  arrive_all(data);
  EXPECT_ERROR(wait_failure(), "placement=relay");
}

// QEMU's main channel does this in its setup, if a section is not known. It is flushed after the first pages.
TEST_F(GuestPagesTest, OpaqueOfTheMainChannelAfterPlacedPagesOfADataChannelRelaysFromThenOn) {
  begin({4});
  Script main(0);
  Script data(1);
  main.record("a").record("x", kOpaque).record("y").close();
  data.page(0, 1, 5).page(0, 2, 6).close();
  arrive(data.frames()[0]);
  ASSERT_TRUE(arrive(data.frames()[1]));
  ASSERT_TRUE(wait_acknowledged(2));
  EXPECT_EQ(site_.page(0, 1), data.content(5));
  arrive_all(main);
  ASSERT_TRUE(wait_acknowledged(7));
  ASSERT_TRUE(arrive(data.frames()[2]));
  ASSERT_TRUE(arrive(data.frames()[3]));
  ASSERT_TRUE(wait_acknowledged(9));
  EXPECT_EQ(site_.log(1), (Log{"w 0:2", "c"}));
  EXPECT_TRUE(landing_->totals().guest.withdrawn);
}

TEST_F(GuestPagesTest, OpaqueBehindTheLastPageIsNothingSpecial) {
  begin({4});
  Script main(0);
  Script data(1);
  data.page(0, 1, 5).close();
  main.record("done", kPagesDone).record("device state", kOpaque | kNeedsPages).close();
  arrive_all(data);
  arrive_all(main);
  ASSERT_TRUE(wait_acknowledged(7));
  EXPECT_FALSE(landing_->totals().guest.withdrawn);
}

}  // namespace
}  // namespace wherry
