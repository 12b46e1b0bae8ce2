#include "transport/lane/slots.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

namespace wherry {
namespace {

TEST(SlotPool, LendsEachSlotOnceAndAllInItsMemory) {
  SlotPool pool(5);
  EXPECT_EQ(pool.memory().size(), 5 * kSlotBytes);
  std::set<uint8_t*> seen;
  std::vector<Slot> taken;
  for (int i = 0; i < 5; ++i) {
    taken.push_back(pool.try_take());
    ASSERT_TRUE(taken.back());
    uint8_t* at = taken.back().get();
    EXPECT_TRUE(seen.insert(at).second);
    EXPECT_GE(at, pool.memory().data());
    EXPECT_LE(at + kSlotBytes, pool.memory().data() + pool.memory().size());
    EXPECT_EQ((at - pool.memory().data()) % kSlotBytes, 0u);
    at[0] = at[kSlotBytes - 1] = 1;  // the memory is there
  }
  EXPECT_FALSE(pool.try_take());
}

TEST(SlotPool, GetsASlotBackWithItsLastReference) {
  SlotPool pool(1);
  Slot first = pool.take();
  Slot second = first;
  first.reset();
  EXPECT_FALSE(pool.try_take());
  second.reset();
  EXPECT_TRUE(pool.try_take());
}

TEST(SlotPool, HandsOutTheSlotThatCameBackLast) {
  SlotPool pool(3);
  Slot a = pool.take();
  Slot b = pool.take();
  uint8_t* const at = b.get();
  a.reset();
  b.reset();
  EXPECT_EQ(pool.take().get(), at);
}

TEST(SlotPool, TakeWaitsForASlot) {
  SlotPool pool(1);
  Slot only = pool.take();
  uint8_t* const at = only.get();
  std::atomic<uint8_t*> got = nullptr;
  std::thread waiter([&] { got = pool.take().get(); });
  only.reset();
  waiter.join();
  EXPECT_EQ(got, at);
}

TEST(SlotPool, CloseEndsEveryTake) {
  SlotPool pool(1);
  Slot only = pool.take();
  std::atomic<int> ended = 0;
  std::vector<std::thread> waiters;
  for (int i = 0; i < 4; ++i) {
    waiters.emplace_back([&] {
      if (!pool.take()) ++ended;
    });
  }
  pool.close();
  for (std::thread& waiter : waiters) waiter.join();
  EXPECT_EQ(ended, 4);
  only.reset();
  EXPECT_FALSE(pool.take()) << "for ever";
}

TEST(SlotPool, ManyThreadsNeverShareASlot) {
  SlotPool pool(3);
  std::atomic<int> clashes = 0;
  std::vector<std::thread> threads;
  for (uint8_t self = 1; self <= 4; ++self) {
    threads.emplace_back([&, self] {
      for (int i = 0; i < 2000; ++i) {
        Slot slot = pool.take();
        slot.get()[0] = self;
        slot.get()[kSlotBytes - 1] = self;
        if (slot.get()[0] != self || slot.get()[kSlotBytes - 1] != self) ++clashes;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(clashes, 0);
  std::vector<Slot> all;
  for (int i = 0; i < 3; ++i) all.push_back(pool.try_take());
  EXPECT_TRUE(all.back()) << "all came back";
}

}  // namespace
}  // namespace wherry
