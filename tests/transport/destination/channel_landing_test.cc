#include "transport/destination/channel_landing.h"

#include <gtest/gtest.h>

#include "tests/base/expect_error.h"
#include "tests/transport/destination/landing_fixture.h"
#include "tests/transport/support.h"

namespace wherry {
namespace {

using test::kModelPage;
using test::Script;
using Log = test::ModelSite::Log;

class ChannelLandingTest : public test::LandingFixture {};

TEST_F(ChannelLandingTest, WritesAChannelInItsOrderHoweverItArrives) {
  Script main(0);
  main.record("a").record("b").record("c").close();
  auto& frames = main.frames();
  for (size_t i : {4, 2, 3, 1}) ASSERT_TRUE(arrive(frames[i]));
  EXPECT_FALSE(site_.opened(0));
  ASSERT_TRUE(arrive(frames[0]));
  ASSERT_TRUE(wait_acknowledged(5));
  EXPECT_EQ(site_.log(0), (Log{"ra", "rb", "rc", "c"}));
  EXPECT_TRUE(landing_->finish());
}

TEST_F(ChannelLandingTest, WaitsForTheFrameThatIsMissing) {
  Script main(0);
  main.record("a").record("b").record("c").close();
  auto& frames = main.frames();
  for (size_t i : {0, 1, 3, 4}) ASSERT_TRUE(arrive(frames[i]));
  ASSERT_TRUE(wait_acknowledged(2));
  EXPECT_EQ(site_.log(0), (Log{"ra"}));
  EXPECT_FALSE(acknowledged(0, 3));
  EXPECT_FALSE(landing_->finish());
  ASSERT_TRUE(arrive(frames[2]));
  ASSERT_TRUE(wait_acknowledged(5));
  EXPECT_EQ(site_.log(0), (Log{"ra", "rb", "rc", "c"}));
}

TEST_F(ChannelLandingTest, AZeroPageEndsAsZeros) {
  begin({4});
  Script main(0);
  main.page(0, 1, 0).close();
  arrive_all(main);
  ASSERT_TRUE(wait_acknowledged(3));
  EXPECT_EQ(site_.page(0, 1), std::vector<uint8_t>(kModelPage, 0));
}

TEST_F(ChannelLandingTest, ARecordIsWrittenOnlyBehindThePagesAheadOfIt) {
  begin({4}, false);
  Script main(0);
  Script data(1);
  main.record("start", kEpochEnd, 2).record("x").close();
  data.record("sync", kEpochEnd).page(0, 0, 5).record("behind the page").close();
  arrive_all(data);
  ASSERT_TRUE(site_.wait_log(1, 1));
  EXPECT_EQ(site_.log(1), (Log{"rsync"})) << "its second epoch is shut";
  landing_->guest().ready();
  arrive_all(main);
  ASSERT_TRUE(wait_acknowledged(9));
  EXPECT_EQ(site_.log(1), (Log{"rsync", "p 0:0", "rbehind the page", "c"}));
}

TEST_F(ChannelLandingTest, ASlowChannelHoldsBackNoOther) {
  begin({4}, false);
  Script main(0);
  Script data(1);
  data.page(0, 0, 5).close();
  main.record("a").record("b").close();
  arrive_all(data);
  arrive_all(main);
  ASSERT_TRUE(site_.wait_log(0, 3));
  EXPECT_TRUE(site_.log(1).empty());
  landing_->guest().ready();
  ASSERT_TRUE(wait_acknowledged(7));
}

TEST_F(ChannelLandingTest, ABatchWithPagesThatThePlacementDoesNotTakeKeepsItsOrder) {
  site_.relayed = {1};
  begin({4, 4});
  Script main(0);
  main.record("a").batch({{1, 0, 5}}).record("b").batch({{0, 3, 6}}).close();
  auto& frames = main.frames();
  ASSERT_TRUE(arrive(frames[4]));
  EXPECT_TRUE(acknowledged(0, 4));
  ASSERT_TRUE(arrive(frames[2]));
  EXPECT_FALSE(acknowledged(0, 2)) << "it has to wait for its turn";
  for (size_t i : {0, 1, 3, 5}) ASSERT_TRUE(arrive(frames[i]));
  ASSERT_TRUE(wait_acknowledged(6));
  EXPECT_EQ(site_.log(0), (Log{"ra", "p 1:0", "rb", "c"}));
  EXPECT_EQ(site_.page(1, 0), main.content(5));
}

TEST_F(ChannelLandingTest, AFrameBehindTheCloseIsAnError) {
  Script main(0);
  main.close().record("late");
  Script data(1);
  auto& frames = main.frames();
  ASSERT_TRUE(arrive(frames[0]));
  ASSERT_TRUE(arrive(frames[1]));
  ASSERT_TRUE(wait_acknowledged(2));
  arrive_all(data);  // so that it is not all closed
  EXPECT_ERROR(arrive(frames[2]), "channel 0");
}

TEST_F(ChannelLandingTest, AFrameBehindTheCloseIsAnErrorAlsoIfItComesFirst) {
  Script main(0);
  main.close().record("late");
  auto& frames = main.frames();
  ASSERT_TRUE(arrive(frames[2]));
  ASSERT_TRUE(arrive(frames[1]));
  ASSERT_TRUE(arrive(frames[0]));
  ASSERT_TRUE(site_.wait_log(0, 1));
  EXPECT_EQ(site_.log(0), (Log{"c"}));
  EXPECT_ERROR(wait_failure(), "channel 0");
}

TEST_F(ChannelLandingTest, AFrameOfAnotherEpochIsAnError) {
  Script main(0);
  main.record("a").record("b");
  main.frames()[2].header.epoch = 1;
  arrive_all(main);
  EXPECT_ERROR(wait_failure(), "channel 0", "another epoch");
}

TEST_F(ChannelLandingTest, PagesBehindTheLastPagesAreAnError) {
  begin({4});
  Script main(0);
  main.record("done", kPagesDone).page(0, 1, 5);
  arrive_all(main);
  EXPECT_ERROR(wait_failure(), "channel 0", "pages after its last");
}

TEST_F(ChannelLandingTest, AChannelBeginsWithItsOpeningAndHasOne) {
  Script main(0);
  main.frame({.type = FrameType::open, .aux = 0});
  arrive_all(main);
  EXPECT_ERROR(wait_failure(), "channel 0", "opened twice");
}

TEST_F(ChannelLandingTest, AChannelThatIsNotOpenedIsAnError) {
  Script data(1);
  data.frames()[0].header.type = FrameType::record;
  arrive_all(data);
  EXPECT_ERROR(wait_failure(), "channel 1", "opening");
}

TEST_F(ChannelLandingTest, OnlyChannel0IsMain) {
  Script data(1, ChannelKind::main);
  arrive_all(data);
  EXPECT_ERROR(wait_failure(), "channel 1", "wrong kind");
}

TEST_F(ChannelLandingTest, Channel0IsMain) {
  Script main(0, ChannelKind::urgent);
  arrive_all(main);
  EXPECT_ERROR(wait_failure(), "channel 0", "wrong kind");
}

TEST_F(ChannelLandingTest, AnUnknownKindIsAnError) {
  Script data(1, static_cast<ChannelKind>(4));
  arrive_all(data);
  EXPECT_ERROR(wait_failure(), "channel 1", "unknown kind");
}

TEST_F(ChannelLandingTest, AFrameThatIsOfNoChannelIsAnError) {
  Script main(0);
  main.frame({.type = FrameType::ack});
  arrive_all(main);
  EXPECT_ERROR(wait_failure(), "channel 0", "`ack`");
}

TEST_F(ChannelLandingTest, AFailureEndsAThreadThatWaitsForItsEpoch) {
  test::Watchdog watchdog("a landing thread that waits for its epoch");
  begin({4}, false);
  Script main(0);
  main.record("a").page(0, 0, 1);
  arrive_all(main);
  ASSERT_TRUE(site_.wait_log(0, 1));
  failure_.fail({"enough"});
  landing_.reset();
}

TEST_F(ChannelLandingTest, TheSitesErrorsEndTheSession) {
  site_.refuse_open();
  Script main(0);
  arrive_all(main);
  EXPECT_ERROR(wait_failure(), "the site takes no channel");
}

TEST_F(ChannelLandingTest, TheSinksErrorsEndTheSession) {
  Script main(0);
  main.record("a");
  site_.break_sinks();
  arrive_all(main);
  EXPECT_ERROR(wait_failure(), "the sink of channel 0 is broken");
}

}  // namespace
}  // namespace wherry
