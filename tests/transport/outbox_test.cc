#include "transport/outbox.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

namespace wherry {
namespace {

OutFrame frame(uint16_t channel, uint64_t sequence, size_t charge = 0) {
  OutFrame out;
  out.header.type = FrameType::record;
  out.header.channel = channel;
  out.header.sequence = sequence;
  out.charge = charge;
  return out;
}

TEST(Outbox, GivesFramesInTheOrderTheyCame) {
  Outbox outbox;
  outbox.push(frame(1, 0));
  outbox.push(frame(0, 0));
  outbox.push(frame(1, 1));
  EXPECT_EQ(outbox.pop()->header.channel, 1);
  EXPECT_EQ(outbox.pop()->header.channel, 0);
  EXPECT_EQ(outbox.pop()->header.sequence, 1u);
}

TEST(Outbox, ForgetsAFrameOnce) {
  Outbox outbox;
  outbox.push(frame(3, 5, 77));
  outbox.push(frame(5, 3, 88));
  EXPECT_FALSE(outbox.acknowledge(3, 3));
  EXPECT_FALSE(outbox.acknowledge(5, 5));
  auto acknowledged = outbox.acknowledge(3, 5);
  ASSERT_TRUE(acknowledged);
  EXPECT_EQ(acknowledged->charge, 77u);
  EXPECT_FALSE(outbox.acknowledge(3, 5));
}

TEST(Outbox, DoesNotTakeAnotherChannelsFrameForALargeSequence) {
  Outbox outbox;
  outbox.push(frame(1, 5));
  EXPECT_FALSE(outbox.acknowledge(0, uint64_t{1} << 48 | 5));
  EXPECT_TRUE(outbox.acknowledge(1, 5));
}

TEST(Outbox, KeepsWhatSomebodyElseSends) {
  Outbox outbox;
  outbox.keep(frame(2, 0, 5));
  outbox.push(frame(1, 0));
  EXPECT_EQ(outbox.pop()->header.channel, 1) << "a kept frame is in no queue";
  EXPECT_TRUE(outbox.acknowledge(2, 0));
}

TEST(Outbox, AFrameOutlivesItsAcknowledgementWhileSomebodySendsIt) {
  Outbox outbox;
  OutFrame out = frame(0, 0);
  out.owned = {1, 2, 3};
  out.bytes = out.owned;
  outbox.push(std::move(out));
  Outbox::Frame sending = outbox.pop();
  outbox.acknowledge(0, 0);
  EXPECT_EQ(std::vector<uint8_t>(sending->bytes.begin(), sending->bytes.end()),
            (std::vector<uint8_t>{1, 2, 3}));
}

TEST(Outbox, WaitsUntilAllIsAcknowledged) {
  Outbox outbox;
  EXPECT_TRUE(outbox.wait_acknowledged()) << "nothing to wait for";
  outbox.push(frame(0, 0));
  outbox.keep(frame(1, 0));
  std::atomic<int> left = 2;
  std::atomic<int> left_when_done = -1;
  std::thread waiter([&] {
    if (outbox.wait_acknowledged()) left_when_done = left.load();
  });
  outbox.pop();
  --left;
  outbox.acknowledge(0, 0);
  --left;
  outbox.acknowledge(1, 0);
  waiter.join();
  EXPECT_EQ(left_when_done, 0);
}

TEST(Outbox, StopEndsAllWaiting) {
  Outbox outbox;
  outbox.keep(frame(0, 0));
  std::atomic<int> ended = 0;
  std::vector<std::thread> waiters;
  for (int i = 0; i < 3; ++i) {
    waiters.emplace_back([&] {
      if (!outbox.pop()) ++ended;
    });
  }
  waiters.emplace_back([&] {
    if (!outbox.wait_acknowledged()) ++ended;
  });
  outbox.stop();
  for (std::thread& waiter : waiters) waiter.join();
  EXPECT_EQ(ended, 4);
  outbox.push(frame(0, 1));
  EXPECT_FALSE(outbox.pop()) << "for ever";
}

TEST(Outbox, GivesEachFrameToOneThread) {
  constexpr uint64_t kFrames = 4000;
  Outbox outbox;
  std::mutex mutex;
  std::set<std::pair<uint16_t, uint64_t>> seen;
  std::atomic<int> twice = 0;
  std::vector<std::thread> lanes;
  for (int i = 0; i < 3; ++i) {
    lanes.emplace_back([&] {
      while (auto next = outbox.pop()) {
        {
          std::lock_guard lock(mutex);
          if (!seen.emplace(next->header.channel, next->header.sequence).second) ++twice;
        }
        outbox.acknowledge(next->header.channel, next->header.sequence);
      }
    });
  }
  std::vector<std::thread> channels;
  for (uint16_t channel = 0; channel < 2; ++channel) {
    channels.emplace_back([&, channel] {
      for (uint64_t i = 0; i < kFrames; ++i) outbox.push(frame(channel, i));
    });
  }
  for (std::thread& channel : channels) channel.join();
  EXPECT_TRUE(outbox.wait_acknowledged());
  outbox.stop();
  for (std::thread& lane : lanes) lane.join();
  EXPECT_EQ(seen.size(), 2 * kFrames);
  EXPECT_EQ(twice, 0);
}

}  // namespace
}  // namespace wherry
