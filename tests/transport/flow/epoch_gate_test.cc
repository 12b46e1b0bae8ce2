#include "transport/flow/epoch_gate.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

namespace wherry {
namespace {

using Verdict = EpochGate::Verdict;

TEST(EpochGate, IsShutUntilTheDestinationIsReady) {
  EpochGate gate;
  EXPECT_FALSE(gate.open(0));
  gate.finish(0, 0, 1);
  EXPECT_FALSE(gate.open(0));
  gate.ready();
  EXPECT_TRUE(gate.open(0));
  EXPECT_TRUE(gate.open(1));
  EXPECT_FALSE(gate.open(2));
}

TEST(EpochGate, OpensOnlyWhenAllParticipantsHaveFinished) {
  EpochGate gate;
  gate.ready();
  gate.finish(1, 0, 0);
  EXPECT_FALSE(gate.open(1));
  gate.finish(0, 0, 3);
  EXPECT_FALSE(gate.open(1));
  gate.finish(2, 0, 0);
  EXPECT_TRUE(gate.open(1));
  EXPECT_FALSE(gate.open(2));
}

TEST(EpochGate, OnlyChannel0SaysWhoTakesPart) {
  EpochGate gate;
  gate.ready();
  gate.finish(1, 0, 1);
  gate.finish(2, 0, 1);
  EXPECT_FALSE(gate.open(1)) << "channel 0 has not finished";
  gate.finish(0, 0, 3);
  EXPECT_TRUE(gate.open(1));
}

TEST(EpochGate, AChannelMayBeSeveralEpochsAhead) {
  EpochGate gate;
  gate.ready();
  for (uint32_t epoch = 0; epoch < 5; ++epoch) gate.finish(1, epoch, 0);
  EXPECT_FALSE(gate.open(1));
  gate.finish(0, 0, 2);
  EXPECT_TRUE(gate.open(1));
  EXPECT_FALSE(gate.open(2)) << "channel 0 has finished only the first";
  gate.finish(0, 1, 2);
  gate.finish(0, 2, 3);
  EXPECT_TRUE(gate.open(2));
  EXPECT_FALSE(gate.open(3)) << "a third channel takes part there";
  gate.finish(0, 3, 2);
  gate.finish(2, 2, 0);
  EXPECT_TRUE(gate.open(4)) << "what was complete before opens with it";
  EXPECT_FALSE(gate.open(5));
}

TEST(EpochGate, NoChannelIsFarAheadOfAnother) {
  EpochGate gate;
  gate.ready();
  uint32_t epoch = 0;
  for (; epoch < EpochGate::kMostAhead; ++epoch) ASSERT_TRUE(gate.finish(1, epoch, 0)) << epoch;
  EXPECT_FALSE(gate.finish(1, epoch, 0)) << "each of them takes memory";
}

TEST(EpochGate, EpochsThatAreOverTakeNoMemory) {
  EpochGate gate;
  gate.ready();
  constexpr uint32_t kMany = EpochGate::kMostAhead + 2;
  for (uint32_t epoch = 0; epoch < kMany; ++epoch) ASSERT_TRUE(gate.finish(0, epoch, 1));
  for (uint32_t epoch = 0; epoch < kMany; ++epoch)
    ASSERT_TRUE(gate.finish(1, epoch, 0)) << "it takes no part in epoch " << epoch;
  gate.withdraw();
  for (uint32_t epoch = kMany; epoch < 2 * kMany; ++epoch)
    ASSERT_TRUE(gate.finish(2, epoch, 0)) << "nobody waits for epoch " << epoch;
}

TEST(EpochGate, WaitersLandWhenTheirEpochOpens) {
  EpochGate gate;
  std::atomic<int> landed = 0;
  std::vector<std::thread> waiters;
  for (uint32_t epoch = 0; epoch < 4; ++epoch) {
    waiters.emplace_back([&, epoch] {
      if (gate.wait(epoch) == Verdict::land) ++landed;
    });
  }
  for (uint32_t epoch = 0; epoch < 3; ++epoch) gate.finish(0, epoch, 1);
  gate.ready();
  for (std::thread& waiter : waiters) waiter.join();
  EXPECT_EQ(landed, 4);
}

TEST(EpochGate, WithdrawnItTellsWaitersAndNeverOpens) {
  EpochGate gate;
  gate.ready();
  std::atomic<int> withdrawn = 0;
  std::thread waiter([&] {
    if (gate.wait(7) == Verdict::withdrawn) ++withdrawn;
  });
  gate.withdraw();
  waiter.join();
  EXPECT_EQ(withdrawn, 1);
  EXPECT_FALSE(gate.open(0));
  EXPECT_EQ(gate.wait(0), Verdict::withdrawn);
  gate.finish(0, 0, 1);
  gate.ready();
  EXPECT_FALSE(gate.open(1));
}

TEST(EpochGate, StoppedItEndsAllWaiting) {
  EpochGate gate;
  std::atomic<int> stopped = 0;
  std::vector<std::thread> waiters;
  for (uint32_t epoch = 0; epoch < 3; ++epoch) {
    waiters.emplace_back([&, epoch] {
      if (gate.wait(epoch) == Verdict::stopped) ++stopped;
    });
  }
  gate.stop();
  for (std::thread& waiter : waiters) waiter.join();
  EXPECT_EQ(stopped, 3);
  EXPECT_EQ(gate.wait(0), Verdict::stopped);
  gate.withdraw();
  EXPECT_EQ(gate.wait(0), Verdict::stopped) << "stopped goes before withdrawn";
}

// Channels run at random speed. None ever enters an epoch while another is still in the previous one.
TEST(EpochGate, KeepsEpochsApartUnderRandomLoad) {
  constexpr uint32_t kChannels = 5;
  constexpr uint32_t kEpochs = 200;
  EpochGate gate;
  gate.ready();
  std::vector<std::atomic<uint32_t>> finished(kChannels);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (uint16_t channel = 0; channel < kChannels; ++channel) {
    threads.emplace_back([&, channel] {
      std::mt19937 random(channel);
      for (uint32_t epoch = 0; epoch < kEpochs; ++epoch) {
        if (random() % 3) {  // this one has pages in this epoch
          if (gate.wait(epoch) != Verdict::land) ++wrong;
          for (const auto& other : finished) {
            if (other < epoch) ++wrong;
          }
        }
        finished[channel] = epoch + 1;
        gate.finish(channel, epoch, kChannels);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_TRUE(gate.open(kEpochs));
  EXPECT_FALSE(gate.open(kEpochs + 1));
}

}  // namespace
}  // namespace wherry
