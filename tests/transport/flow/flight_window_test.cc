#include "transport/flow/flight_window.h"

#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <random>
#include <thread>
#include <vector>

#include "compression/page_batch.h"
#include "transport/lane/slots.h"

namespace wherry {
namespace {

constexpr size_t kShare = kSlotBytes;  // what each lane and each channel may always have in flight

FlightWindow::Limits limits(size_t lanes, size_t cap = 64 * kShare) {
  return {.lanes = lanes, .downtime = std::chrono::milliseconds(300), .cap = cap};
}

TEST(FlightWindow, IsNeverLessThanASlotALane) {
  FlightWindow window(limits(4));
  EXPECT_EQ(window.state().bound, 4 * kShare);
  window.open(0);
  const FlightRoom all = window.try_take(0, 100 * kShare);
  EXPECT_EQ(all.bytes(), 4 * kShare) << "one channel may use all";
  EXPECT_EQ(window.try_take(0, 1).bytes(), 0u);
  EXPECT_EQ(window.state().in_flight, 4 * kShare);
}

TEST(FlightWindow, IsNeverLessThanASlotAChannel) {
  FlightWindow window(limits(1));
  std::vector<FlightRoom> rooms;
  for (uint16_t channel = 0; channel < 8; ++channel) window.open(channel);
  EXPECT_EQ(window.state().bound, 8 * kShare);
  for (uint16_t channel = 0; channel < 8; ++channel) {
    rooms.push_back(window.try_take(channel, 9 * kShare));
    EXPECT_EQ(rooms.back().bytes(), kShare);
  }
  for (uint16_t channel = 0; channel < 8; ++channel) EXPECT_EQ(window.try_take(channel, 1).bytes(), 0u);
}

TEST(FlightWindow, AChannelLeavesASlotToEachOther) {
  FlightWindow window(limits(6));
  for (uint16_t channel = 0; channel < 3; ++channel) window.open(channel);
  const FlightRoom first = window.try_take(0, 100 * kShare);
  EXPECT_EQ(first.bytes(), 4 * kShare);
  const FlightRoom second = window.try_take(1, 100 * kShare);
  EXPECT_EQ(second.bytes(), kShare);
  const FlightRoom third = window.try_take(2, 100);
  EXPECT_EQ(third.bytes(), 100u);
  EXPECT_EQ(window.try_take(1, 1).bytes(), 0u) << "the rest of channel 2's slot is kept for it";
  EXPECT_EQ(window.try_take(2, 100 * kShare).bytes(), kShare - 100);
}

TEST(FlightRoom, ReturnsWithItsToken) {
  FlightWindow window(limits(1));
  window.open(0);
  FlightRoom room = window.take(0, 1000);
  EXPECT_EQ(room.bytes(), 1000u);
  room.add(window.take(0, kShare));
  EXPECT_EQ(room.bytes(), kShare);
  { const FlightRoom part = room.split(500); }
  EXPECT_EQ(room.bytes(), kShare - 500);
  EXPECT_EQ(window.state().in_flight, kShare - 500);
  FlightRoom rest = window.try_take(0, kShare);
  EXPECT_EQ(rest.bytes(), 500u);
  rest = std::move(room);
  EXPECT_EQ(window.state().in_flight, kShare - 500) << "what it had before has returned";
  rest.landed();
  EXPECT_EQ(rest.bytes(), 0u);
  EXPECT_EQ(window.state().in_flight, 0u);
  EXPECT_EQ(window.state().most_in_flight, kShare);
}

TEST(FlightRoom, HasNoMoreThanWasTaken) {
  FlightWindow window(limits(1));
  window.open(0);
  FlightRoom room = window.take(0, 10);
  EXPECT_EQ(room.split(11).bytes(), 10u);
  EXPECT_EQ(room.bytes(), 0u);
  EXPECT_EQ(FlightRoom().split(1).bytes(), 0u);
  EXPECT_EQ(window.state().in_flight, 0u);
}

TEST(FlightWindow, TakeWaitsForAnAcknowledgement) {
  FlightWindow window(limits(1));
  window.open(0);
  FlightRoom room = window.take(0, kShare);
  ASSERT_EQ(room.bytes(), kShare);
  std::atomic<size_t> got = 0;
  std::thread waiter([&] { got = window.take(0, 10).bytes(); });
  room.split(7).landed();
  waiter.join();
  EXPECT_EQ(got, 7u);
}

TEST(FlightWindow, TakeWaitsForBytesGivenBackByAnother) {
  FlightWindow window(limits(2));
  window.open(0);
  window.open(1);
  const FlightRoom first = window.take(0, kShare);
  const FlightRoom second = window.take(1, kShare);
  ASSERT_EQ(first.bytes() + second.bytes(), 2 * kShare);
  std::atomic<size_t> got = 0;
  std::thread waiter([&] { got = window.take(0, kShare).bytes(); });
  window.close(1);
  waiter.join();
  EXPECT_EQ(got, kShare);
}

TEST(FlightWindow, StopEndsEveryTakeForEver) {
  FlightWindow window(limits(1));
  window.open(0);
  FlightRoom room = window.take(0, kShare);
  ASSERT_EQ(room.bytes(), kShare);
  std::atomic<int> ended = 0;
  std::vector<std::thread> waiters;
  for (int i = 0; i < 3; ++i) {
    waiters.emplace_back([&] {
      if (window.take(0, 1).bytes() == 0) ++ended;
    });
  }
  window.stop();
  for (std::thread& waiter : waiters) waiter.join();
  EXPECT_EQ(ended, 3);
  room.landed();
  EXPECT_EQ(window.take(0, 1).bytes(), 0u);
}

TEST(FlightWindow, AClosedChannelsBytesAreNoLongerInFlight) {
  FlightWindow window(limits(1));
  window.open(0);
  window.open(1);
  FlightRoom room = window.take(1, 1000);
  FlightRoom another = window.take(1, 1000);
  ASSERT_EQ(room.bytes(), 1000u);
  window.close(1);
  EXPECT_EQ(window.state().in_flight, 0u);
  EXPECT_EQ(window.state().bound, kShare);
  room.landed();  // too late, but no harm
  another = {};
  EXPECT_EQ(window.state().in_flight, 0u);
  window.close(1);
}

TEST(FlightWindow, TheCapHoldsWhateverTheGoodput) {
  FlightWindow window(limits(1, 3 * kShare));
  window.open(0);
  // A round trip of ten hours: any goodput at all asks for more than the cap.
  window.set_round_trip(std::chrono::hours(10));
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (window.state().goodput == 0 && std::chrono::steady_clock::now() < until)
    window.take(0, kShare).landed();
  EXPECT_GT(window.state().goodput, 0);
  EXPECT_EQ(window.state().bound, 3 * kShare);
  EXPECT_EQ(window.try_take(0, 100 * kShare).bytes(), 3 * kShare);
}

// Many channels at random, and one that starves. There is never more in flight than the largest bound so far,
// and a channel with less than a slot in flight gets the rest of the slot at once.
TEST(FlightWindow, HoldsItsPromisesUnderRandomLoad) {
  constexpr uint16_t kChannels = 6;
  FlightWindow window(limits(9));
  for (uint16_t channel = 0; channel < kChannels; ++channel) window.open(channel);
  std::atomic<int> over = 0;
  std::atomic<int> starved = 0;
  std::barrier together(kChannels);
  std::vector<std::thread> threads;
  for (uint16_t channel = 0; channel < kChannels; ++channel) {
    threads.emplace_back([&, channel] {
      std::mt19937 random(channel + 1);
      FlightRoom mine = window.take(channel, kShare);
      together.arrive_and_wait();  // so that they run at the same time
      for (int i = 0; i < 3000; ++i) {
        const size_t want = 1 + random() % (2 * kShare);
        const size_t short_of_share = mine.bytes() < kShare ? kShare - mine.bytes() : 0;
        FlightRoom got = window.try_take(channel, want);
        const size_t taken = got.bytes();
        if (taken > want || taken < std::min(want, short_of_share)) ++starved;
        mine.add(std::move(got));
        if (random() % 4 == 0 && mine.bytes() > 0) (void)mine.split(random() % mine.bytes() + 1);
        while (mine.bytes() > 0 && (taken == 0 || random() % 2)) {
          mine.split(1 + random() % kShare).landed();
          if (random() % 3 == 0) break;
        }
        const FlightWindow::State state = window.state();
        if (state.in_flight > state.largest_bound || state.most_in_flight > state.largest_bound) ++over;
      }
      mine.landed();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(over, 0);
  EXPECT_EQ(starved, 0);
  EXPECT_EQ(window.state().in_flight, 0u);
  EXPECT_GE(window.state().most_in_flight, kChannels * kShare);
}

// Half of a lane's share, and never more than a batch can have.
TEST(FlightWindow, BatchesAreAHalfOfALanesShare) {
  FlightWindow two({.lanes = 2, .downtime = std::chrono::milliseconds(300), .cap = 128 << 20});
  EXPECT_EQ(two.batch_bytes(), two.state().bound / 4);
  FlightWindow many({.lanes = 64, .downtime = std::chrono::milliseconds(300), .cap = 1 << 20});
  EXPECT_EQ(many.batch_bytes(), many.state().bound / 128);
  for (uint16_t channel = 0; channel < 200; ++channel) two.open(channel);
  EXPECT_EQ(two.batch_bytes(), kBatchBytes) << "never more than a batch holds";
}

}  // namespace
}  // namespace wherry
