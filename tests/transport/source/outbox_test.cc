#include "transport/source/outbox.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <set>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace wherry {
namespace {

OutFrame frame(uint16_t channel, uint64_t sequence) {
  OutFrame out;
  out.header.type = FrameType::record;
  out.header.channel = channel;
  out.header.sequence = sequence;
  return out;
}

// Room for what frames stand for.
class Rooms {
 public:
  Rooms() { window_.open(0); }
  FlightRoom take(size_t bytes) { return window_.take(0, bytes); }

 private:
  FlightWindow window_{{.lanes = 1, .downtime = std::chrono::milliseconds(300), .cap = 0}};
};

TEST(Outbox, GivesFramesInTheOrderTheyCame) {
  Outbox outbox;
  outbox.push(frame(1, 0));
  outbox.push(frame(0, 0));
  outbox.push(frame(1, 1));
  EXPECT_EQ(outbox.pop(0)->header.channel, 1);
  EXPECT_EQ(outbox.pop(0)->header.channel, 0);
  EXPECT_EQ(outbox.pop(0)->header.sequence, 1u);
}

TEST(Outbox, LanesAreBusyWhileAFrameWaitsForOne) {
  Outbox outbox;
  EXPECT_FALSE(outbox.lanes_busy());
  outbox.push(frame(0, 0));
  EXPECT_TRUE(outbox.lanes_busy());
  outbox.pop(0);
  EXPECT_FALSE(outbox.lanes_busy());
  OutFrame later = frame(0, 1);
  later.header.type = FrameType::batch;
  later.header.epoch = 1;  // waits for the end of the epoch before
  outbox.push(std::move(later));
  EXPECT_FALSE(outbox.lanes_busy());
}

TEST(Outbox, BytesAreToBeEncodedUntilTheirBatchIs) {
  Rooms rooms;
  Outbox outbox;
  OutFrame batch = frame(0, 0);
  batch.header.type = FrameType::batch;
  outbox.push(std::move(batch), rooms.take(700));
  outbox.push(frame(0, 1), rooms.take(20));
  EXPECT_EQ(outbox.bytes_to_encode(), 700u);
  const auto taken = outbox.pop(0);
  EXPECT_EQ(outbox.bytes_to_encode(), 700u);
  outbox.encoded(*taken);
  EXPECT_EQ(outbox.bytes_to_encode(), 0u);
}

OutFrame of_disk(uint64_t sequence) {
  OutFrame out = frame(7, sequence);
  out.disk = true;
  return out;
}

std::vector<uint16_t> channels_in_turn(Outbox& outbox, int frames) {
  std::vector<uint16_t> channels;
  for (int i = 0; i < frames; ++i) channels.push_back(outbox.pop(0)->header.channel);
  return channels;
}

TEST(Outbox, DisksHaveEveryFourthTurn) {
  Outbox outbox;
  for (uint64_t i = 0; i < 3; ++i) outbox.push(of_disk(i));
  for (uint64_t i = 0; i < 7; ++i) outbox.push(frame(0, i));
  EXPECT_EQ(channels_in_turn(outbox, 10), (std::vector<uint16_t>{0, 0, 0, 7, 0, 0, 0, 7, 0, 7}));
}

TEST(Outbox, DisksComeLastBehindTheLastPage) {
  Outbox outbox;
  for (uint64_t i = 0; i < 2; ++i) outbox.push(of_disk(i));
  OutFrame last = frame(0, 0);
  last.header.flags = kPagesDone;
  outbox.push(std::move(last));
  for (uint64_t i = 1; i < 6; ++i) outbox.push(frame(0, i));
  EXPECT_EQ(channels_in_turn(outbox, 8), (std::vector<uint16_t>{0, 0, 0, 0, 0, 0, 7, 7}));
}

TEST(Outbox, ForgetsAFrameOnce) {
  Rooms rooms;
  Outbox outbox;
  outbox.push(frame(3, 5), rooms.take(77));
  outbox.push(frame(5, 3), rooms.take(88));
  EXPECT_FALSE(outbox.acknowledge(3, 3));
  EXPECT_FALSE(outbox.acknowledge(5, 5));
  auto acknowledged = outbox.acknowledge(3, 5);
  ASSERT_TRUE(acknowledged);
  EXPECT_EQ(acknowledged->room.bytes(), 77u);
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
  outbox.keep(frame(2, 0));
  outbox.push(frame(1, 0));
  EXPECT_EQ(outbox.pop(0)->header.channel, 1) << "a kept frame is in no queue";
  EXPECT_TRUE(outbox.acknowledge(2, 0));
}

TEST(Outbox, AFrameOutlivesItsAcknowledgementWhileSomebodySendsIt) {
  Outbox outbox;
  OutFrame out = frame(0, 0);
  out.owned = {1, 2, 3};
  out.bytes = out.owned;
  outbox.push(std::move(out));
  Outbox::Frame sending = outbox.pop(0);
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
  outbox.pop(0);
  --left;
  outbox.acknowledge(0, 0);
  --left;
  outbox.acknowledge(1, 0);
  waiter.join();
  EXPECT_EQ(left_when_done, 0);
}

TEST(Outbox, WaitsUntilAFrameIsAcknowledged) {
  Outbox outbox;
  outbox.push(frame(0, 0));
  outbox.keep(frame(0, 1));
  outbox.push(frame(1, 0));
  std::atomic<bool> acknowledged = false;
  std::thread waiter([&] { EXPECT_TRUE(outbox.wait_acknowledged(0, 1) && acknowledged); });
  outbox.acknowledge(1, 0);
  acknowledged = true;
  outbox.acknowledge(0, 1);
  waiter.join();
  EXPECT_TRUE(outbox.wait_acknowledged(1, 0)) << "others wait still";
}

TEST(Outbox, StopEndsAllWaiting) {
  Outbox outbox;
  outbox.keep(frame(0, 0));
  std::atomic<int> ended = 0;
  std::vector<std::thread> waiters;
  for (int i = 0; i < 3; ++i) {
    waiters.emplace_back([&] {
      if (!outbox.pop(0)) ++ended;
    });
  }
  waiters.emplace_back([&] {
    if (!outbox.wait_acknowledged()) ++ended;
  });
  waiters.emplace_back([&] {
    if (!outbox.wait_acknowledged(0, 0)) ++ended;
  });
  outbox.stop();
  for (std::thread& waiter : waiters) waiter.join();
  EXPECT_EQ(ended, 5);
  outbox.push(frame(0, 1));
  EXPECT_FALSE(outbox.pop(0)) << "for ever";
}

OutFrame batch(uint16_t channel, uint64_t sequence, uint32_t epoch) {
  OutFrame out = frame(channel, sequence);
  out.header.type = FrameType::batch;
  out.header.epoch = epoch;
  return out;
}

OutFrame epoch_end(uint16_t channel, uint64_t sequence, uint32_t epoch, uint32_t participants) {
  OutFrame out = frame(channel, sequence);
  out.header.flags = kEpochEnd;
  out.header.epoch = epoch;
  out.header.aux = channel == 0 ? participants : 0;
  return out;
}

// A thread that takes one frame, which must not be there yet.
class Waiter {
 public:
  explicit Waiter(Outbox& outbox)
      : thread_([this, &outbox] {
          Outbox::Frame frame = outbox.pop(0);
          Lock lock(mutex_);
          got_ = std::move(frame);
          done_ = true;
        }) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_FALSE(done());
  }
  ~Waiter() {
    if (thread_.joinable()) thread_.join();
  }
  bool done() {
    Lock lock(mutex_);
    return done_;
  }
  Outbox::Frame get() {
    thread_.join();
    Lock lock(mutex_);
    return got_;
  }

 private:
  Mutex mutex_;
  Outbox::Frame got_ WHERRY_GUARDED_BY(mutex_);
  bool done_ WHERRY_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

TEST(Outbox, ABatchWaitsUntilThoseOfTheEpochBeforeAreEncoded) {
  Outbox outbox;
  outbox.push(batch(0, 0, 0));
  outbox.push(batch(0, 1, 0));
  outbox.push(epoch_end(0, 2, 0, 1));
  outbox.push(batch(0, 3, 1));
  outbox.push(frame(0, 4));
  const auto first = outbox.pop(0);
  const auto second = outbox.pop(0);
  EXPECT_EQ(first->header.sequence, 0u);
  EXPECT_EQ(second->header.sequence, 1u);
  EXPECT_EQ(outbox.pop(0)->header.sequence, 2u);
  EXPECT_EQ(outbox.pop(0)->header.sequence, 4u) << "a frame that is not a batch does not wait";
  outbox.encoded(*second);
  Waiter waiter(outbox);
  outbox.encoded(*first);
  EXPECT_EQ(waiter.get()->header.sequence, 3u);
}

TEST(Outbox, ABatchWaitsForEveryChannelsEpochToEnd) {
  Outbox outbox;
  outbox.push(epoch_end(0, 0, 0, 3));
  outbox.push(batch(0, 1, 1));
  outbox.push(epoch_end(1, 0, 0, 3));
  EXPECT_EQ(outbox.pop(0)->header.channel, 0);
  EXPECT_EQ(outbox.pop(0)->header.channel, 1);
  Waiter waiter(outbox);
  // The third channel's epoch turns out to have a batch, which goes first.
  outbox.push(batch(2, 0, 0));
  const auto late = waiter.get();
  EXPECT_EQ(late->header.channel, 2);
  outbox.push(epoch_end(2, 1, 0, 3));
  EXPECT_EQ(outbox.pop(0)->header.type, FrameType::record);
  Waiter another(outbox);
  outbox.encoded(*late);
  EXPECT_EQ(another.get()->header.sequence, 1u);
}

TEST(Outbox, BatchesOfOneEpochDoNotWaitForEachOther) {
  Outbox outbox;
  for (uint64_t i = 0; i < 5; ++i) outbox.push(batch(static_cast<uint16_t>(i % 2), i / 2, 0));
  for (uint64_t i = 0; i < 5; ++i) EXPECT_EQ(outbox.pop(0)->header.sequence, i / 2);
}

TEST(Outbox, WhoeverLosesTheOrderWaitsForNothing) {
  Outbox outbox;
  outbox.push(batch(0, 0, 0));
  EXPECT_EQ(outbox.pop(0)->header.sequence, 0u);  // and is never encoded
  outbox.push(batch(1, 0, 3));
  Waiter waiter(outbox);
  outbox.lose_order();
  EXPECT_EQ(waiter.get()->header.epoch, 3u);
  outbox.push(batch(1, 1, 9));
  EXPECT_EQ(outbox.pop(0)->header.epoch, 9u) << "for good";
}

TEST(Outbox, ABatchThatIsAskedForComesAgainWholeAndFirst) {
  Rooms rooms;
  Outbox outbox;
  OutFrame out = batch(1, 5, 0);
  out.pages.page_size = 4096;
  out.pages.add(0, 3, nullptr);
  outbox.push(std::move(out), rooms.take(77));
  const auto first = outbox.pop(0);
  EXPECT_FALSE(first->whole);
  outbox.encoded(*first);
  outbox.push(frame(0, 0));
  EXPECT_TRUE(outbox.again(1, 5));
  const auto second = outbox.pop(0);
  EXPECT_TRUE(second->whole);
  EXPECT_EQ(second->header, first->header);
  EXPECT_EQ(second->pages.runs, first->pages.runs);
  outbox.encoded(*second);  // counts for nothing
  EXPECT_EQ(outbox.pop(0)->header.channel, 0);
  EXPECT_FALSE(outbox.again(1, 5)) << "it was whole already";
  auto acknowledged = outbox.acknowledge(1, 5);
  ASSERT_TRUE(acknowledged);
  EXPECT_EQ(acknowledged->room.bytes(), 77u);
  EXPECT_FALSE(outbox.again(1, 5)) << "it has landed";
  EXPECT_FALSE(outbox.acknowledge(1, 5));
}

TEST(Outbox, AWholeBatchDoesNotWaitForItsEpoch) {
  Outbox outbox;
  outbox.push(epoch_end(0, 0, 0, 1));
  outbox.push(batch(0, 1, 1));
  EXPECT_EQ(outbox.pop(0)->header.sequence, 0u);
  const auto first = outbox.pop(0);
  outbox.encoded(*first);
  outbox.push(batch(1, 0, 0));  // late, but it must not keep the other back
  EXPECT_TRUE(outbox.again(0, 1));
  EXPECT_EQ(outbox.pop(0)->header.sequence, 1u);
}

TEST(Outbox, AnEndedLaneGetsNothingMore) {
  Outbox outbox;
  std::thread waiter([&] { EXPECT_FALSE(outbox.pop(1)); });
  outbox.end(1);
  waiter.join();
  outbox.push(frame(0, 0));
  EXPECT_FALSE(outbox.pop(1));
  EXPECT_TRUE(outbox.pop(0)) << "another lane does";
}

TEST(Outbox, WhatAnEndedLaneHadComesAgainFirstAndInOrder) {
  Outbox outbox;
  for (uint64_t sequence = 0; sequence < 5; ++sequence) outbox.push(frame(0, sequence));
  outbox.keep(frame(1, 0));
  const auto first = outbox.pop(1);
  EXPECT_EQ(outbox.pop(0)->header.sequence, 1u);
  EXPECT_EQ(outbox.pop(1)->header.sequence, 2u);
  EXPECT_EQ(outbox.pop(1)->header.sequence, 3u);
  EXPECT_TRUE(outbox.acknowledge(0, 2));
  outbox.end(1);
  outbox.requeue(1);
  EXPECT_EQ(outbox.pop(0), first) << "as it was";
  EXPECT_EQ(outbox.pop(0)->header.sequence, 3u) << "what is acknowledged does not";
  EXPECT_EQ(outbox.pop(0)->header.sequence, 4u) << "nor what another lane has, or somebody else sends";
  outbox.end(0);
  outbox.requeue(0);
  for (const uint64_t sequence : {0, 1, 3, 4}) EXPECT_EQ(outbox.pop(2)->header.sequence, sequence);
}

TEST(Outbox, AnEncodedBatchOfAnEndedLaneComesWhole) {
  const std::vector<KnownPage> known = {{5, 1, 0, 0}};
  Outbox outbox;
  OutFrame out = batch(0, 0, 0);
  out.pages.page_size = 4096;
  out.pages.add(0, 3, nullptr);
  outbox.push(std::move(out));
  const auto first = outbox.pop(1);
  outbox.encoded(*first, known);
  outbox.push(epoch_end(0, 1, 0, 1));
  outbox.push(batch(0, 2, 1));
  outbox.end(1);
  outbox.requeue(1);
  const auto second = outbox.pop(0);
  EXPECT_TRUE(second->whole);
  EXPECT_EQ(second->header, first->header);
  EXPECT_EQ(second->pages.runs, first->pages.runs);
  outbox.encoded(*second, known);  // counts for nothing
  EXPECT_EQ(outbox.pop(0)->header.sequence, 1u);
  EXPECT_EQ(outbox.pop(0)->header.sequence, 2u) << "it was counted once";
  EXPECT_TRUE(outbox.acknowledge(0, 0)->frame->known.empty());
}

TEST(Outbox, ABatchThatComesAgainBringsItsCopies) {
  const std::vector<CopiedPage> copied = {{3, 17}};
  Outbox outbox;
  outbox.push(batch(0, 0, 0));
  const auto first = outbox.pop(1);
  EXPECT_TRUE(first->copied.empty());
  outbox.encoded(*first, {}, copied);
  for (const size_t lane : {size_t{1}, size_t{2}}) {
    outbox.end(lane);
    outbox.requeue(lane);
    const auto next = outbox.pop(lane + 1);
    EXPECT_TRUE(next->whole);
    EXPECT_EQ(next->copied, copied);
  }
  ASSERT_TRUE(outbox.again(0, 0));
  EXPECT_EQ(outbox.pop(3)->copied, copied);
}

TEST(Outbox, ABatchThatAnEndedLaneDidNotEncodeKeepsItsTurn) {
  Outbox outbox;
  outbox.push(batch(0, 0, 0));
  outbox.push(epoch_end(0, 1, 0, 1));
  outbox.push(batch(0, 2, 1));
  const auto first = outbox.pop(1);
  outbox.end(1);
  outbox.requeue(1);
  EXPECT_EQ(outbox.pop(0), first);
  EXPECT_FALSE(first->whole);
  EXPECT_EQ(outbox.pop(0)->header.sequence, 1u);
  Waiter waiter(outbox);
  outbox.encoded(*first);
  EXPECT_EQ(waiter.get()->header.sequence, 2u);
}

TEST(Outbox, ABatchThatWasAskedForAndIsLostComesAgain) {
  Outbox outbox;
  outbox.push(batch(0, 0, 0));
  outbox.encoded(*outbox.pop(1));
  ASSERT_TRUE(outbox.again(0, 0));
  EXPECT_TRUE(outbox.pop(2)->whole);
  outbox.end(2);
  outbox.requeue(2);
  EXPECT_TRUE(outbox.pop(0)->whole);
  EXPECT_FALSE(outbox.again(0, 0)) << "it was asked for before";
}

// The destination still had the first copy when the second came.
TEST(Outbox, ABatchThatIsLostMayBeAskedForOnce) {
  Outbox outbox;
  outbox.push(batch(0, 0, 0));
  outbox.encoded(*outbox.pop(1));
  outbox.end(1);
  outbox.requeue(1);
  EXPECT_TRUE(outbox.pop(0)->whole);
  EXPECT_TRUE(outbox.again(0, 0));
  EXPECT_TRUE(outbox.pop(2)->whole);
  EXPECT_FALSE(outbox.again(0, 0));
  // Whichever of the two is lost may be the one that the destination took.
  outbox.end(0);
  outbox.requeue(0);
  EXPECT_TRUE(outbox.pop(2)->whole);
}

TEST(Outbox, OnlyBatchesAreSentAgain) {
  Outbox outbox;
  outbox.push(frame(0, 0));
  outbox.push(batch(0, 1, 0));
  EXPECT_FALSE(outbox.again(0, 0));
  EXPECT_FALSE(outbox.again(0, 2));
  EXPECT_FALSE(outbox.again(1, 1));
  EXPECT_FALSE(outbox.again(0, uint64_t{1} << 48 | 1));
  EXPECT_TRUE(outbox.again(0, 1));
}

TEST(Outbox, GivesEachFrameToOneThread) {
  constexpr uint64_t kFrames = 4000;
  Outbox outbox;
  Mutex mutex;
  std::set<std::pair<uint16_t, uint64_t>> seen;
  std::atomic<int> twice = 0;
  std::vector<std::thread> lanes;
  for (int i = 0; i < 3; ++i) {
    lanes.emplace_back([&] {
      while (auto next = outbox.pop(0)) {
        {
          Lock lock(mutex);
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

TEST(Outbox, AnAcknowledgementBringsWhatTheBatchMadeKnown) {
  const std::vector<KnownPage> known = {{5, 1, 0, 0}, {6, 2, 0, 0}};
  Outbox outbox;
  for (uint64_t sequence = 0; sequence < 4; ++sequence) outbox.push(batch(0, sequence, 0));
  outbox.encoded(*outbox.pop(0), known);
  EXPECT_EQ(outbox.acknowledge(0, 0)->frame->known, known);
  outbox.encoded(*outbox.pop(0), known);
  ASSERT_TRUE(outbox.again(0, 1));
  Outbox::Frame whole = outbox.pop(0);
  ASSERT_TRUE(whole->whole);
  EXPECT_TRUE(outbox.acknowledge(0, 1)->frame->known.empty()) << "asked for again";
  // By a peer that does not wait for the batch.
  Outbox::Frame third = outbox.pop(0);
  EXPECT_TRUE(outbox.acknowledge(0, 2)->frame->known.empty());
  outbox.encoded(*third, known);
  Outbox::Frame fourth = outbox.pop(0);
  ASSERT_TRUE(outbox.again(0, 3));
  outbox.encoded(*fourth, known);
  EXPECT_TRUE(outbox.acknowledge(0, 3)->frame->known.empty());
}

}  // namespace
}  // namespace wherry
