#include "transport/destination/landing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "tests/base/expect_error.h"
#include "tests/transport/destination/landing_fixture.h"
#include "tests/transport/support.h"

namespace wherry {
namespace {

using test::kModelPage;
using test::Script;
using Log = test::ModelSite::Log;

class LandingTest : public test::LandingFixture {};

TEST_F(LandingTest, AFrameIsClaimedOnceWhateverBecomesOfIt) {
  Script main(0);
  main.record("a").record("b").close();
  auto& frames = main.frames();
  landing_->lane_lost();
  const auto is_here = [&](size_t frame) {
    auto berth = landing_->claim(frames[frame].header);
    EXPECT_TRUE(berth);
    return berth && !*berth;
  };
  {
    auto berth = landing_->claim(frames[2].header);
    EXPECT_TRUE(berth && *berth);
    EXPECT_TRUE(is_here(2)) << "it is being received";
  }
  EXPECT_FALSE(is_here(2)) << "it was given up";
  ASSERT_TRUE(arrive(frames[2]));
  EXPECT_TRUE(is_here(2)) << "it waits";
  ASSERT_TRUE(arrive(frames[0]));
  ASSERT_TRUE(wait_acknowledged(1));
  EXPECT_TRUE(is_here(0)) << "it has landed";
  ASSERT_TRUE(arrive(frames[1]));
  ASSERT_TRUE(arrive(frames[3]));
  ASSERT_TRUE(wait_acknowledged(4));
  for (size_t frame = 0; frame < 4; ++frame) EXPECT_TRUE(is_here(frame)) << "the channel is closed";
  EXPECT_EQ(site_.log(0), (Log{"ra", "rb", "c"}));
}

TEST_F(LandingTest, APlacedFrameIsHereBeforeItsTurn) {
  begin({4});
  Script main(0);
  main.record("a").page(0, 1, 5);
  ASSERT_TRUE(arrive(main.frames()[2]));
  landing_->lane_lost();
  auto berth = landing_->claim(main.frames()[2].header);
  ASSERT_TRUE(berth);
  EXPECT_FALSE(*berth);
}

// Only a source that has lost a lane sends anything twice.
TEST_F(LandingTest, AFrameThatComesTwiceIsAnErrorWhereNoLaneWasLost) {
  Script main(0);
  main.record("a");
  ASSERT_TRUE(arrive(main.frames()[1]));
  EXPECT_ERROR(arrive(main.frames()[1]), "frame 1 of channel 0", "twice");
  ASSERT_TRUE(arrive(main.frames()[0]));
  ASSERT_TRUE(wait_acknowledged(2));
  EXPECT_ERROR(arrive(main.frames()[0]), "frame 0 of channel 0", "twice");
}

TEST_F(LandingTest, AChannelNumberOutOfBoundsIsRefused) {
  Script far(kMaxChannels);
  EXPECT_ERROR(arrive(far.frames()[0]), "channel 300");
}

TEST_F(LandingTest, AFailureEndsAllThatWaits) {
  test::Watchdog watchdog("landing threads of a failed session");
  std::thread waiter([&] { EXPECT_EQ(landing_->guest().wait_blocks(), nullptr); });
  Script main(0);
  main.record("a", kEpochEnd, 2);
  arrive_all(main);
  Script data(1);
  arrive_all(data);
  ASSERT_TRUE(wait_acknowledged(3));
  failure_.fail({"enough"});
  waiter.join();
  landing_.reset();
}

// Three threads take the frames, each the next; `take` is called with a frame and its number.
template <class Take>
void over_lanes(const std::vector<const Arrival*>& frames, const Take& take) {
  std::atomic<size_t> next = 0;
  std::vector<std::thread> lanes;
  for (int i = 0; i < 3; ++i) {
    lanes.emplace_back([&] {
      for (size_t at = next++; at < frames.size(); at = next++) take(*frames[at], at);
    });
  }
  for (std::thread& lane : lanes) lane.join();
}

// Frames of several channels and epochs arrive shuffled on several threads. Every page must end as its last
// epoch had it, no page may be placed before all channels have finished the epoch before, every sink gets its
// order.
class RandomLanding : public LandingTest, public testing::WithParamInterface<uint32_t> {};

TEST_P(RandomLanding, EndsWithTheLastVersionOfEachPage) {
  constexpr uint16_t kChannels = 4;
  constexpr uint64_t kPages = 24;
  std::mt19937 random(GetParam());
  site_.participants = kChannels;
  if (GetParam() % 4 == 1) site_.relayed = {1};
  if (GetParam() % 4 == 2) site_.direct = false;
  const bool direct = site_.direct;
  const uint32_t epochs = 2 + random() % 6;

  std::map<std::pair<uint16_t, uint64_t>, std::vector<uint8_t>> model;
  std::deque<Script> scripts;
  std::vector<Log> records(kChannels);
  for (uint16_t channel = 0; channel < kChannels; ++channel) scripts.emplace_back(channel);
  for (uint32_t epoch = 0; epoch < epochs; ++epoch) {
    for (uint16_t block = 0; block < 2; ++block) {
      for (uint64_t page = 0; page < kPages; ++page) {
        if (random() % 3 == 0) continue;
        // With a relay, the VMM itself orders channels; a page stays on one channel then.
        const bool relayed = !direct || (!site_.relayed.empty() && block == 1);
        Script& script = scripts[relayed ? page % kChannels : random() % kChannels];
        const uint32_t seed = random() % 4 == 0 ? 0 : static_cast<uint32_t>(random() | 1);
        model[{block, page}] = seed ? script.content(seed) : std::vector<uint8_t>(kModelPage, 0);
        script.page(block, page, seed);
      }
    }
    for (uint16_t channel = 0; channel < kChannels; ++channel) {
      const std::string name = "epoch " + std::to_string(epoch);
      scripts[channel].record(name, kEpochEnd, kChannels);
      records[channel].push_back("r" + name);
    }
  }
  std::vector<const Arrival*> frames;
  for (uint16_t channel = 0; channel < kChannels; ++channel) {
    scripts[channel].close();
    records[channel].push_back("c");
    for (const Arrival& frame : scripts[channel].frames()) frames.push_back(&frame);
  }
  std::shuffle(frames.begin(), frames.end(), random);
  if (!direct) site_.participants = 0;  // nothing of ours keeps epochs apart then
  begin({kPages, kPages}, false);

  std::vector<const Arrival*> once_more;  // of these, every other one broke off the first time
  for (const Arrival* frame : frames) {
    if (random() % 4 == 0) once_more.push_back(frame);
  }
  std::set<const Arrival*> broken;
  for (size_t i = 0; i < once_more.size(); i += 2) broken.insert(once_more[i]);
  const auto take = [&](const Arrival& frame, size_t) {
    auto arrived = arrive(frame);
    EXPECT_TRUE(arrived) << arrived.error().message;
  };
  over_lanes(frames, [&](const Arrival& frame, size_t at) {
    if (at == frames.size() / 4) landing_->guest().ready();
    if (!broken.contains(&frame)) return take(frame, at);
    auto berth = landing_->claim(frame.header);
    EXPECT_TRUE(berth && *berth);
  });
  landing_->lane_lost();
  over_lanes(once_more, take);
  ASSERT_TRUE(wait_acknowledged(frames.size()))
      << (failure_.failed() ? failure_.first()->message : "too slow");
  EXPECT_TRUE(landing_->finish());
  EXPECT_EQ(site_.too_early(), 0);
  for (const auto& [where, content] : model) {
    EXPECT_EQ(site_.page(where.first, where.second), content) << where.first << ":" << where.second;
  }
  for (uint16_t channel = 0; channel < kChannels; ++channel) {
    Log log = site_.log(channel);
    std::erase_if(log, [](const std::string& entry) { return entry[0] != 'r' && entry[0] != 'c'; });
    EXPECT_EQ(log, records[channel]);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomLanding, testing::Range(1u, 33u));

}  // namespace
}  // namespace wherry
