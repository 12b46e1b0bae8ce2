// Lanes over a fabric, with both halves in this process. Each half alone, with a peer made by hand:
// fabric_lane_sender_test.cc, fabric_lane_receiver_test.cc.
#include <gtest/gtest.h>

#include <cstring>

#include "compression/page_batch.h"
#include "tests/transport/fabric/joined_lane.h"

namespace wherry {
namespace {

using Bytes = std::vector<uint8_t>;

class FabricLane : public test::JoinedLane {};

TEST_P(FabricLane, CarriesBodiesOfAnyLength) {
  const Bytes table = test::noise(kMaxTable, 1);
  const std::vector<size_t> lengths = {0, 1, 40'000, 65'535, 65'536, 300'000, kMaxBody};
  std::thread posting([&] {
    for (const size_t length : lengths) {
      const Bytes body = test::noise(length, static_cast<uint32_t>(length));
      // In two parts that no message ends with.
      const std::array<std::span<const uint8_t>, 2> parts{std::span(body).first(length / 3),
                                                          std::span(body).subspan(length / 3)};
      EXPECT_TRUE(sender_->post({.type = FrameType::record, .sequence = length}, table, parts));
    }
    EXPECT_TRUE(sender_->complete());
  });
  for (const size_t length : lengths) {
    FrameHead head;
    Bytes body(kMaxBody);
    receive(head, body);
    body.resize(length);
    EXPECT_EQ(head.header.sequence, length);
    EXPECT_EQ(head.table, table);
    EXPECT_EQ(body, test::noise(length, static_cast<uint32_t>(length)));
  }
  posting.join();
  EXPECT_EQ(sender_->bytes_waiting(), 0u);
  EXPECT_EQ(receiver_->bytes_written(), 0u);
}

// Slots are read where they are, so no source may write there.
TEST_P(FabricLane, CopiesRawPagesToMemoryThatIsNotTheGuests) {
  SlotPool there(8);
  constexpr size_t kFrames = 40;  // more than there are credits
  std::thread posting([&] {
    for (uint32_t i = 0; i < kFrames; ++i) {
      const Slot slot = filled_slot(i);
      EXPECT_TRUE(post_raw(slot, kBatchBytes, i));
      EXPECT_TRUE(sender_->complete());
    }
  });
  for (uint32_t i = 0; i < kFrames; ++i) {
    const Slot slot = there.take();
    FrameHead head;
    receive(head, {slot.get(), kSlotBytes});
    const Bytes sent = test::noise(kSlotBytes, i);
    EXPECT_EQ(head.header.sequence, i);
    EXPECT_EQ(std::memcmp(slot.get(), sent.data(), kBatchBytes), 0) << i;
  }
  posting.join();
  EXPECT_EQ(receiver_->bytes_written(), 0u);
}

TEST_P(FabricLane, BodiesComeInTheOrderOfTheirOffers) {
  constexpr uint32_t kBodies = 4;
  SlotPool there(kBodies);
  std::thread posting([&] {
    std::vector<Slot> here;
    for (uint32_t i = 0; i < kBodies; ++i) {
      here.push_back(filled_slot(i));
      EXPECT_TRUE(post_raw(here.back(), kBatchBytes, i));
    }
    EXPECT_TRUE(sender_->post({.type = FrameType::record, .sequence = kBodies}, {}, {}));
    EXPECT_TRUE(sender_->complete());
  });
  std::vector<Slot> slots;
  FrameHead head;
  size_t bodies = 0;
  for (bool behind = false; !behind || bodies < kBodies;) {
    auto news = receiver_->next(head);
    ASSERT_TRUE(news) << news.error().message;
    if (*news == LaneReceiver::News::head && head.header.type == FrameType::batch) {
      EXPECT_EQ(head.header.sequence, slots.size());
      slots.push_back(there.take());
      iovec where{slots.back().get(), head.header.body_length};
      auto landed = receiver_->land({&where, 1});
      ASSERT_TRUE(landed) << landed.error().message;
      EXPECT_FALSE(*landed);
    } else if (*news == LaneReceiver::News::head) {
      behind = true;
    } else {
      const Bytes sent = test::noise(kSlotBytes, static_cast<uint32_t>(bodies));
      EXPECT_EQ(std::memcmp(slots[bodies++].get(), sent.data(), kBatchBytes), 0);
    }
  }
  posting.join();
}

TEST_P(FabricLane, PutsPagesWhereTheyBelongOneByOne) {
  PageBytes guest(kBatchBytes);
  receiver_->attach_guest(guest);
  const Slot slot = filled_slot(1);
  std::thread posting([&] { EXPECT_TRUE(post_raw(slot, kBatchBytes)); });
  FrameHead head;
  ASSERT_TRUE(receiver_->next(head));
  // The last page first.
  constexpr size_t kPage = 4096;
  constexpr size_t kPages = kBatchBytes / kPage;
  std::vector<iovec> where;
  for (size_t page = 0; page < kPages; ++page) where.push_back({&guest[(kPages - 1 - page) * kPage], kPage});
  land(where);
  posting.join();
  if (domain_->on_demand()) {
    EXPECT_EQ(receiver_->bytes_written(), kBatchBytes);
  }
  const Bytes sent = test::noise(kSlotBytes, 1);
  for (size_t page = 0; page < kPages; ++page)
    EXPECT_EQ(std::memcmp(&guest[(kPages - 1 - page) * kPage], &sent[page * kPage], kPage), 0) << page;
}

TEST_P(FabricLane, EndsBothEndsWhenOneGoes) {
  FrameHead head;
  std::thread leaving([&] { sender_->shut(); });
  EXPECT_FALSE(receiver_->next(head));
  EXPECT_TRUE(receiver_->lost());
  leaving.join();
  progress_.join();
  EXPECT_NE(end_, "");
  EXPECT_FALSE(sender_->post({.type = FrameType::record}, {}, {}));
  EXPECT_FALSE(sender_->complete());
}

TEST_P(FabricLane, EndsTheSourceWhenTheDestinationGoes) {
  receiver_.reset();
  progress_.join();
  EXPECT_NE(end_, "");
}

INSTANTIATE_TEST_SUITE_P(Over, FabricLane, testing::ValuesIn(test::fabric_paths()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace wherry
