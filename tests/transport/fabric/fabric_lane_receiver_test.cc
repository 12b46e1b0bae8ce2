// The destination's half of a lane over a fabric, with a source that is made by hand.
#include "transport/fabric/fabric_lane_receiver.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/base/expect_error.h"
#include "tests/transport/fabric/fabric_peer.h"
#include "transport/lane/slots.h"

namespace wherry {
namespace {

using Bytes = std::vector<uint8_t>;

class FabricSource : public test::FabricPeer {
 protected:
  // The error of the destination about what the source sent.
  std::string receive() {
    FabricLaneReceiver receiver(std::move(pair_.destination));
    FrameHead head;
    auto more = receiver.next(head);
    if (!more) {
      EXPECT_FALSE(receiver.lost());
      return more.error().message;
    }
    Bytes body(kMaxBody);
    iovec where{body.data(), head.header.body_length};
    auto landed = receiver.land({&where, 1});
    EXPECT_FALSE(receiver.lost());
    if (!landed) return landed.error().message;
    if (!*landed) more = receiver.next(head);
    return more ? "" : more.error().message;
  }
};

TEST_P(FabricSource, MessagesThatAreNoFrame) {
  send(*pair_.source, 9, Bytes(100));
  EXPECT_ERROR(receive(), "kind 9");
}
TEST_P(FabricSource, AMessageLongerThanItself) {
  send(*pair_.source, 1, Bytes(100), 0, 0, 200);
  EXPECT_ERROR(receive(), "prefix");
}
TEST_P(FabricSource, ADamagedHead) {
  Bytes head = frame({.type = FrameType::record});
  head[20] ^= 1;
  send(*pair_.source, 1, head);
  EXPECT_ERROR(receive(), "damaged");
}
TEST_P(FabricSource, HalfATable) {
  send(*pair_.source, 1, frame({.type = FrameType::batch, .table_length = 32}));
  EXPECT_ERROR(receive(), "incomplete table");
}
TEST_P(FabricSource, MoreThanABody) {
  Bytes bytes = frame({.type = FrameType::record, .body_length = 4});
  bytes.resize(bytes.size() + 5);
  send(*pair_.source, 1, bytes);
  EXPECT_ERROR(receive(), "more than the body");
}
TEST_P(FabricSource, ADamagedBody) {
  Bytes bytes = frame({.type = FrameType::record, .body_length = 4, .body_sum = 1});
  bytes.resize(bytes.size() + 4);
  send(*pair_.source, 1, bytes);
  EXPECT_ERROR(receive(), "damaged");
}
TEST_P(FabricSource, AnOfferOfNothing) {
  send(*pair_.source, 3, frame({.type = FrameType::batch}));
  EXPECT_ERROR(receive(), "raw pages");
}
TEST_P(FabricSource, AnOfferWithAPack) {
  FrameHeader header{.type = FrameType::batch, .body_length = 65536};
  header.pack_length = header.plain_length = 4096;
  send(*pair_.source, 3, frame(header));
  EXPECT_ERROR(receive(), "raw pages");
}
TEST_P(FabricSource, AnOfferOfNoBatch) {
  send(*pair_.source, 3, frame({.type = FrameType::record, .body_length = 65536}));
  EXPECT_ERROR(receive(), "raw pages");
}
// A source that writes nothing yet.
TEST_P(FabricSource, SeveralOffersAreGrantedAtOnce) {
  constexpr uint32_t kOffers = 4;
  for (uint32_t tag = 0; tag < kOffers; ++tag)
    send(*pair_.source, 3, frame({.type = FrameType::batch, .sequence = tag, .body_length = 65536}), tag);
  SlotPool slots(kOffers);
  FabricLaneReceiver receiver(std::move(pair_.destination));
  std::vector<Slot> bodies;
  for (uint32_t tag = 0; tag < kOffers; ++tag) {
    FrameHead head;
    auto news = receiver.next(head);
    ASSERT_TRUE(news) << news.error().message;
    EXPECT_EQ(head.header.sequence, tag);
    bodies.push_back(slots.take());
    iovec where{bodies.back().get(), 65536};
    auto landed = receiver.land({&where, 1});
    ASSERT_TRUE(landed) << landed.error().message;
    EXPECT_FALSE(*landed);
  }
  for (uint32_t tag = 0; tag < kOffers;) {
    auto event = pair_.source->next(std::chrono::milliseconds(20));
    ASSERT_TRUE(event) << event.error().message;
    if (!*event) continue;
    const std::span<const uint8_t> grant = (*event)->message.bytes();
    EXPECT_EQ(grant[0], 4);
    EXPECT_EQ(grant[8], tag++);
  }
}
TEST_P(FabricSource, AnotherFrameInTheMiddleOfABody) {
  Bytes bytes = frame({.type = FrameType::record, .body_length = 1000});
  bytes.resize(bytes.size() + 4);
  send(*pair_.source, 1, bytes);
  send(*pair_.source, 1, frame({.type = FrameType::record}));
  EXPECT_ERROR(receive(), "kind 1", "body");
}
TEST_P(FabricSource, ABeatInTheMiddleOfABody) {
  Bytes bytes = frame({.type = FrameType::record, .body_length = 1000});
  bytes.resize(bytes.size() + 4);
  send(*pair_.source, 1, bytes);
  send(*pair_.source, 6, {});
  EXPECT_ERROR(receive(), "kind 6", "body");
}
TEST_P(FabricSource, ABeatWithABody) {
  send(*pair_.source, 6, Bytes(1));
  EXPECT_ERROR(receive(), "kind 6 and 1 bytes");
}
TEST_P(FabricSource, BeatsAreNoFramesAndGiveTheirCreditsBack) {
  constexpr uint32_t kBeats = 24;  // no more than it has buffers for
  for (uint32_t i = 0; i < kBeats; ++i) send(*pair_.source, 6, {});
  send(*pair_.source, 1, frame({.type = FrameType::record, .sequence = 7}));
  FabricLaneReceiver receiver(std::move(pair_.destination));
  FrameHead head;
  auto news = receiver.next(head);
  ASSERT_TRUE(news) << news.error().message;
  EXPECT_EQ(head.header.sequence, 7u);
  for (uint32_t credits = 0; credits < kBeats;) {
    auto event = pair_.source->next(std::chrono::milliseconds(20));
    ASSERT_TRUE(event) << event.error().message;
    if (!*event) continue;
    uint32_t given = 0;
    std::memcpy(&given, (*event)->message.bytes().data() + 12, sizeof given);
    credits += given;
  }
}
TEST_P(FabricSource, AWriteWithoutAGrant) {
  SlotPool here(1);
  pair_.source->domain().add_own(here.memory(), kSlotBytes);
  auto target = pair_.destination->domain().lend_target();
  ASSERT_TRUE(target) << target.error().message;
  const std::span<const uint8_t> page = here.memory().first(4096);
  ASSERT_TRUE(pair_.source->write({&page, 1}, {(*target)->reach.address, (*target)->reach.key}, 3));
  EXPECT_ERROR(receive(), "without a grant");
}

INSTANTIATE_TEST_SUITE_P(Over, FabricSource, testing::ValuesIn(test::fabric_paths()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace wherry
