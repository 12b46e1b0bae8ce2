// The source's half of a lane over a fabric, with a destination that is made by hand; and beats.
#include "transport/fabric/fabric_lane_sender.h"

#include <gtest/gtest.h>

#include "tests/base/expect_error.h"
#include "tests/transport/fabric/fabric_peer.h"
#include "tests/transport/fabric/joined_lane.h"
#include "transport/lane/slots.h"

namespace wherry {
namespace {

using Bytes = std::vector<uint8_t>;

class FabricDestination : public test::FabricPeer {
 protected:
  // The error that ends a source which has offered a batch and gets that answer.
  template <class Answer>
  std::string offer_and(Answer&& answer) {
    SlotPool slots(2);
    FabricLaneSender sender(std::move(pair_.source));
    EXPECT_TRUE(sender.attach(slots.memory()));
    const Slot slot = slots.take();
    const std::span<const uint8_t> body(slot.get(), 65536);
    EXPECT_TRUE(sender.post({.type = FrameType::batch}, {}, {&body, 1}));
    answer(*pair_.destination);
    // What was sent here is done only when somebody reads the completions.
    std::thread looking([&] {
      while (!pair_.destination->ended() && pair_.destination->next(std::chrono::milliseconds(20))) {
      }
    });
    const std::string why = sender.await_end().message;
    pair_.destination->shut();
    looking.join();
    return why;
  }
};

TEST_P(FabricDestination, AGrantOfNothing) {
  EXPECT_ERROR(offer_and([](FabricConnection& peer) { send(peer, 4, piece(0, 0, 65536), 7); }),
               "not offered");
}
TEST_P(FabricDestination, AGrantThatIsTooShort) {
  EXPECT_ERROR(offer_and([](FabricConnection& peer) { send(peer, 4, piece(0, 0, 65535)); }), "65535",
               "65536");
}
TEST_P(FabricDestination, AGrantThatOverflows) {
  Bytes pieces = piece(0, 0, 0xffffffff);
  const Bytes second = piece(0, 0, 65537);
  pieces.insert(pieces.end(), second.begin(), second.end());
  EXPECT_ERROR(offer_and([&](FabricConnection& peer) { send(peer, 4, pieces); }), "65536");
}
TEST_P(FabricDestination, MoreCreditsThanThereAre) {
  EXPECT_ERROR(offer_and([](FabricConnection& peer) { send(peer, 5, {}, 0, 1000); }), "more credits");
}
TEST_P(FabricDestination, AGrantWithAWrongKey) {
  EXPECT_NE(offer_and([](FabricConnection& peer) { send(peer, 4, piece(4096, 0x5eed, 65536)); }), "");
}

INSTANTIATE_TEST_SUITE_P(Over, FabricDestination, testing::ValuesIn(test::fabric_paths()),
                         testing::PrintToStringParamName());

// What a beat does on a dead link only a network can show: tests/verbs/migrations.py.
class IdleFabricLane : public test::JoinedLane {
 protected:
  IdleFabricLane() : JoinedLane(std::chrono::seconds(3)) {}
};
TEST_P(IdleFabricLane, Beats) {
  constexpr uint64_t kBeat = 16;
  std::thread posting([&] {
    while (sender_->bytes_sent() < kBeat) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_EQ(sender_->bytes_sent(), kBeat);
    EXPECT_TRUE(sender_->post({.type = FrameType::record, .sequence = 7}, {}, {}));
  });
  FrameHead head;
  receive(head, {});
  EXPECT_EQ(head.header.sequence, 7u);
  posting.join();
}

INSTANTIATE_TEST_SUITE_P(Over, IdleFabricLane, testing::ValuesIn(test::fabric_paths()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace wherry
