#include "transport/destination/channel_frames.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "tests/base/expect_error.h"
#include "tests/transport/support.h"

namespace wherry {
namespace {

class ChannelFramesTest : public testing::Test {
 protected:
  ChannelFrames::Claim claim(uint64_t sequence) {
    auto claim = frames_.claim(sequence);
    if (claim) return std::move(*claim);
    ADD_FAILURE() << claim.error().message;
    return {};
  }
  static Arrival frame(uint64_t sequence, size_t bytes = 0) {
    Arrival frame;
    frame.header.sequence = sequence;
    frame.body.resize(bytes);
    return frame;
  }
  Result<> arrive(uint64_t sequence, size_t bytes = 0) {
    return claim(sequence).arrive(frame(sequence, bytes));
  }
  // Of the frame whose turn it is.
  std::optional<uint64_t> land(bool last = false) {
    auto next = frames_.take();
    if (!next) return std::nullopt;
    EXPECT_TRUE(std::move(next->claim).landed(last));
    return next->frame.header.sequence;
  }

  std::atomic<size_t> held_ = 0;
  ChannelFrames frames_{7, held_};
};

TEST_F(ChannelFramesTest, AreTakenInOrderHoweverTheyArrive) {
  for (uint64_t sequence : {2, 0, 1}) ASSERT_TRUE(arrive(sequence));
  for (uint64_t sequence : {0, 1, 2}) EXPECT_EQ(land(), sequence);
}

TEST_F(ChannelFramesTest, OneIsTakenAsSoonAsItArrives) {
  test::Watchdog watchdog("a thread that waits for a frame");
  auto first = claim(0);
  ASSERT_TRUE(arrive(1));
  std::thread lands([this] { EXPECT_EQ(land(), 0u); });
  ASSERT_TRUE(std::move(first).arrive(frame(0)));
  lands.join();
  EXPECT_EQ(land(), 1u);
}

TEST_F(ChannelFramesTest, AClaimLastsUntilItGoes) {
  {
    const auto first = claim(4);
    EXPECT_TRUE(first);
    EXPECT_FALSE(claim(4));
    EXPECT_FALSE(claim(4)) << "an empty claim gives nothing up";
  }
  EXPECT_TRUE(claim(4));
}

TEST_F(ChannelFramesTest, AClaimThatIsReplacedGoes) {
  auto held = claim(4);
  held = claim(5);
  EXPECT_TRUE(claim(4));
  EXPECT_FALSE(claim(5));
  auto moved = std::move(held);
  EXPECT_FALSE(claim(5));
}

TEST_F(ChannelFramesTest, OneThatIsHereIsNotClaimed) {
  ASSERT_TRUE(arrive(0));
  EXPECT_FALSE(claim(0)) << "it waits";
  auto next = frames_.take();
  ASSERT_TRUE(next);
  EXPECT_FALSE(claim(0)) << "it is landing";
  ASSERT_TRUE(std::move(next->claim).landed(false));
  EXPECT_FALSE(claim(0)) << "it has landed";
}

TEST_F(ChannelFramesTest, OneThatDidNotLandMayComeAgain) {
  ASSERT_TRUE(arrive(0));
  { auto next = frames_.take(); }
  ASSERT_TRUE(arrive(0));
  EXPECT_EQ(land(), 0u);
}

TEST_F(ChannelFramesTest, NothingComesAfterTheClose) {
  ASSERT_TRUE(arrive(0));
  EXPECT_FALSE(frames_.closed());
  land(true);
  EXPECT_TRUE(frames_.closed());
  EXPECT_ERROR(frames_.claim(1), "frame 1 of channel 7", "after its close");
}

TEST_F(ChannelFramesTest, ACloseThatFramesLieAfterIsAnError) {
  ASSERT_TRUE(arrive(0));
  const auto late = claim(3);
  auto next = frames_.take();
  ASSERT_TRUE(next);
  EXPECT_ERROR(std::move(next->claim).landed(true), "channel 7", "frames after its close");
  EXPECT_FALSE(frames_.closed());
}

TEST_F(ChannelFramesTest, WhatWaitsIsBounded) {
  constexpr uint64_t kFits = (256 << 20) / (kSlotBytes + 256);
  const auto arrives = [this](uint64_t sequence) {
    Arrival long_one = frame(sequence);
    long_one.slot = std::make_shared<uint8_t>();
    return claim(sequence).arrive(std::move(long_one));
  };
  for (uint64_t sequence = 1; sequence <= kFits; ++sequence) ASSERT_TRUE(arrives(sequence)) << sequence;
  EXPECT_ERROR(arrives(kFits + 1), "more than agreed");
}

TEST_F(ChannelFramesTest, WhatIsTakenNoLongerWaits) {
  ASSERT_TRUE(arrive(0, 1000));
  EXPECT_GE(held_, 1000u);
  land();
  EXPECT_EQ(held_, 0u);
}

TEST_F(ChannelFramesTest, StoppedTheyAreNotTaken) {
  test::Watchdog watchdog("a thread that waits for a frame");
  std::thread lands([this] { EXPECT_FALSE(frames_.take()); });
  frames_.stop();
  lands.join();
  ASSERT_TRUE(arrive(0));
  EXPECT_FALSE(frames_.take());
}

}  // namespace
}  // namespace wherry
