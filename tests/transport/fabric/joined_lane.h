// A lane over a fabric for tests: both halves, joined, in this process.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/transport/fabric/fabric_pair.h"
#include "tests/transport/support.h"
#include "transport/fabric/fabric_lane_receiver.h"
#include "transport/fabric/fabric_lane_sender.h"
#include "transport/lane/slots.h"

namespace wherry::test {

class JoinedLane : public testing::TestWithParam<Path> {
 protected:
  explicit JoinedLane(std::chrono::seconds silence = kForever) : pair_(GetParam(), kKey, silence) {}
  void SetUp() override {
    ASSERT_TRUE(pair_.source && pair_.destination) << pair_.error;
    domain_ = &pair_.destination->domain();
    sender_.emplace(std::move(pair_.source));
    receiver_.emplace(std::move(pair_.destination));
    ASSERT_TRUE(sender_->attach(slots_.memory()));
    progress_ = std::thread([this] { end_ = sender_->await_end().message; });
  }
  void TearDown() override {
    if (sender_) sender_->shut();
    if (progress_.joinable()) progress_.join();
  }

  // Sends a batch whose pages lie in a slot.
  Result<> post_raw(const Slot& slot, size_t bytes, uint64_t sequence = 0) {
    const std::span<const uint8_t> body(slot.get(), bytes);
    return sender_->post({.type = FrameType::batch, .sequence = sequence}, {}, {&body, 1});
  }
  Slot filled_slot(uint32_t seed) {
    Slot slot = slots_.take();
    const std::vector<uint8_t> bytes = noise(kSlotBytes, seed);
    std::copy(bytes.begin(), bytes.end(), slot.get());
    return slot;
  }
  // The frame that comes next, with its body in `into`.
  void receive(FrameHead& head, std::span<uint8_t> into) {
    auto more = receiver_->next(head);
    ASSERT_TRUE(more) << more.error().message;
    ASSERT_LE(head.header.body_length, into.size());
    iovec where{into.data(), head.header.body_length};
    land({&where, 1});
  }
  void land(std::span<iovec> where) {
    auto landed = receiver_->land(where);
    ASSERT_TRUE(landed) << landed.error().message;
    if (*landed) return;
    FrameHead none;
    auto news = receiver_->next(none);
    ASSERT_TRUE(news) << news.error().message;
    EXPECT_EQ(*news, LaneReceiver::News::body);
  }
  // Carries raw pages to a place, other ones each time, and looks whether they are there.
  void carry(std::span<uint8_t> place) {
    const Slot slot = filled_slot(next_seed_++);
    std::thread posting([&] { EXPECT_TRUE(post_raw(slot, place.size())); });
    FrameHead head;
    receive(head, place);
    posting.join();
    EXPECT_EQ(std::memcmp(place.data(), slot.get(), place.size()), 0);
  }

  Watchdog watchdog_{"a lane over a fabric"};
  SlotPool slots_{8};
  FabricPair pair_;
  std::optional<FabricLaneSender> sender_;
  std::optional<FabricLaneReceiver> receiver_;
  FabricDomain* domain_ = nullptr;  // the destination's
  uint32_t next_seed_ = 1;
  std::thread progress_;
  std::string end_;
};

}  // namespace wherry::test
