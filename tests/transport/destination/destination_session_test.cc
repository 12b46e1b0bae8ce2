// The session against a source made by hand: its control connection, lanes that die, and the end.
#include "transport/destination/destination_session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/base/expect_error.h"
#include "tests/transport/destination/destination_fixture.h"
#include "tests/transport/support.h"
#include "tests/transport/wire/raw_peer.h"

namespace wherry {
namespace {

using nlohmann::json;
using test::bytes_of;
using test::kModelPage;
using test::RawConnection;
using Log = test::ModelSite::Log;

class DestinationTest : public test::DestinationFixture {};

TEST_F(DestinationTest, FramesOnALaneLandInOrderHoweverTheyCome) {
  establish(1);
  ASSERT_TRUE(lane().send({.type = FrameType::record, .sequence = 2}, bytes_of("b")));
  ASSERT_TRUE(lane().send({.type = FrameType::close, .sequence = 3}));
  ASSERT_TRUE(lane().send({.type = FrameType::record, .sequence = 1}, bytes_of("a")));
  ASSERT_TRUE(lane().send({.type = FrameType::open}));
  ASSERT_TRUE(site_.wait_log(0, 3));
  EXPECT_EQ(site_.log(0), (Log{"ra", "rb", "c"}));
  for (uint64_t sequence = 0; sequence < 4; ++sequence) {
    auto ack = source_->control.receive();
    ASSERT_TRUE(ack);
    EXPECT_EQ(ack->type(), FrameType::ack);
    EXPECT_EQ(ack->head.header.sequence, sequence);
  }
  ASSERT_TRUE(source_->control.send(FrameType::done, {{"side", "source"}}));
  auto done = source_->control.receive();
  ASSERT_TRUE(done);
  EXPECT_EQ(done->type(), FrameType::done);
  EXPECT_EQ(done->map(), (json{{"side", "destination"}}));
  auto account = session_->finish();
  ASSERT_TRUE(account) << account.error().message;
  EXPECT_EQ(*account, (json{{"side", "source"}}));
}

TEST_F(DestinationTest, SaysOfWhichBlocksItCanReadWhatItWasSent) {
  site_.relayed = {1};
  establish(1);
  ASSERT_TRUE(source_->control.send({.type = FrameType::blocks, .sequence = 1},
                                    json::to_cbor(test::model_blocks({8, 8, 8}).to_json())));
  auto bases = source_->control.receive();
  ASSERT_TRUE(bases) << bases.error().message;
  EXPECT_EQ(bases->type(), FrameType::bases);
  EXPECT_EQ(bases->map(), (json{{"blocks", {0u, 2u}}, {"copies", 0u}}));
}

TEST_F(DestinationTest, SaysHowManyCopiesItKeepsWhereAllIsRelayed) {
  site_.direct = false;
  begin();
  auto bases = source_->control.receive(FrameType::bases);
  ASSERT_TRUE(bases) << bases.error().message;
  const uint64_t most = default_history(test::model_blocks({8}).space());
  EXPECT_EQ(bases->map(),
            (json{{"blocks", json::array()}, {"copies", most / (kModelPage + KeptCopies::kOverhead)}}));
}

TEST_F(DestinationTest, APackOnTheControlConnectionIsRefused) {
  establish(1);
  ASSERT_TRUE(source_->control.send(
      {.type = FrameType::record, .channel = 1, .pack_length = 4, .plain_length = 4}, bytes_of("pack")));
  expect_failure("packed frame on the control connection");
}

TEST_F(DestinationTest, APeerThatGoesAwayIsNoticed) {
  establish(2);
  ASSERT_TRUE(lane().send({.type = FrameType::open}));
  source_->control.shut();
  for (RawConnection& one : source_->lanes) one.shut();
  EXPECT_ERROR(session_->finish(), "killed?");
}

TEST_F(DestinationTest, ALaneThatDiesWhileIdleIsLost) {
  establish(2);
  lane(1).shut();
  expect_lane_ended(1);
  EXPECT_ERROR(site_.wait_lost(1), "closed the lane");
  ASSERT_TRUE(lane(0).send({.type = FrameType::open}));
  ASSERT_TRUE(source_->control.receive(FrameType::ack));
  EXPECT_FALSE(failure_.failed());
}

TEST_F(DestinationTest, ALaneThatTheSourceLostEndsHere) {
  establish(2);
  ASSERT_TRUE(source_->control.send({.type = FrameType::lane_lost, .aux = 1}));
  expect_lane_ended(1);
  EXPECT_FALSE(lane(1).receive()) << "it is shut";
  EXPECT_FALSE(failure_.failed());
}

TEST_F(DestinationTest, ALaneThatIsNoneCannotBeLost) {
  establish(2);
  ASSERT_TRUE(source_->control.send({.type = FrameType::lane_lost, .aux = 2}));
  expect_failure("lost lane 2");
}

TEST_F(DestinationTest, TheLastLaneThatDiesEndsTheSession) {
  establish(2);
  lane(1).shut();
  expect_lane_ended(1);
  lane(0).shut();
  expect_failure("last lane");
}

TEST_F(DestinationTest, AFrameThatCameOverALostLaneIsDroppedWhenItComesAgain) {
  establish(2);
  ASSERT_TRUE(lane(1).send({.type = FrameType::record, .sequence = 2}, bytes_of("b")));
  ASSERT_TRUE(lane(1).send({.type = FrameType::open}));
  EXPECT_EQ(source_->control.receive(FrameType::ack)->head.header.sequence, 0u);
  lane(1).shut();
  expect_lane_ended(1);
  ASSERT_TRUE(lane(0).send({.type = FrameType::open}));                                  // landed
  ASSERT_TRUE(lane(0).send({.type = FrameType::record, .sequence = 2}, bytes_of("b")));  // waits
  ASSERT_TRUE(lane(0).send({.type = FrameType::record, .sequence = 1}, bytes_of("a")));
  ASSERT_TRUE(lane(0).send({.type = FrameType::close, .sequence = 3}));
  for (uint64_t sequence = 1; sequence < 4; ++sequence) {
    auto ack = source_->control.receive();
    ASSERT_TRUE(ack) << ack.error().message;
    EXPECT_EQ(ack->type(), FrameType::ack);
    EXPECT_EQ(ack->head.header.sequence, sequence);
  }
  ASSERT_TRUE(lane(0).send({.type = FrameType::record, .sequence = 1}, bytes_of("a")));  // closed
  ASSERT_TRUE(source_->control.send(FrameType::done, json::object()));
  EXPECT_EQ(source_->control.receive()->type(), FrameType::done) << "nothing is acknowledged twice";
  EXPECT_TRUE(session_->finish());
  EXPECT_EQ(site_.log(0), (Log{"ra", "rb", "c"}));
}

// The same page once more in a batch, half of which comes over a lane that dies.
class HalfABatch : public DestinationTest {
 protected:
  HalfABatch() : old_(test::noise(4 * kModelPage, 3)), now_(test::noise(4 * kModelPage, 4)) {}
  void send_half() {
    begin(2);
    FrameHeader header = batch_header(2, 4);
    const auto pages = table(0, PageKind::raw, 4, 2);
    header.table_length = static_cast<uint32_t>(pages.size());
    header.body_length = static_cast<uint32_t>(old_.size());
    Checksum sum;
    sum.add(old_);
    header.body_sum = sum.value();
    ASSERT_TRUE(source_->control.receive(FrameType::bases));
    ASSERT_TRUE(lane(1).send_bytes(encode_header(header, pages)));
    ASSERT_TRUE(lane(1).send_bytes(pages));
    ASSERT_TRUE(lane(1).send_bytes(std::span(old_).first(kHalf)));
  }
  // Over the other lane, and nothing else was acknowledged of it.
  void send_again() {
    ASSERT_TRUE(
        lane(0).send(batch_header(2, 4), table(0, PageKind::raw, 4, 2), std::span<const uint8_t>(now_)));
    await_ack(2);
    expect_now();
    EXPECT_EQ(session_->totals().landing.placed_pages, 4u);
  }
  void await_ack(uint64_t sequence) {
    for (;;) {
      auto ack = source_->control.receive(FrameType::ack);
      ASSERT_TRUE(ack) << ack.error().message;
      if (ack->head.header.sequence == sequence) return;
    }
  }
  void expect_now() {
    for (uint64_t page = 0; page < 4; ++page) {
      const auto at = now_.begin() + static_cast<ptrdiff_t>(page * kModelPage);
      EXPECT_EQ(site_.page(0, 2 + page), (std::vector<uint8_t>{at, at + kModelPage})) << page;
    }
  }

  static constexpr size_t kHalf = 2 * kModelPage + 100;
  const std::vector<uint8_t> old_;
  const std::vector<uint8_t> now_;
};

TEST_F(HalfABatch, IsTakenOverTheNextLane) {
  send_half();
  lane(1).shut();
  expect_lane_ended(1);
  send_again();
}

TEST_F(HalfABatch, IsTakenOverTheNextLaneWhereItIsNotPlacedAsItComes) {
  site_.by_iovec = false;
  send_half();
  lane(1).shut();
  expect_lane_ended(1);
  send_again();
}

// The source's side of the connection is dead, but its bytes still come.
TEST_F(HalfABatch, IsNotPlacedLate) {
  send_half();
  ASSERT_TRUE(source_->control.send({.type = FrameType::lane_lost, .aux = 1}));
  expect_lane_ended(1);
  send_again();
  (void)lane(1).send_bytes(std::span(old_).subspan(kHalf));
  ASSERT_TRUE(lane(0).send({.type = FrameType::record, .sequence = 3}));
  await_ack(3);
  expect_now();
}

TEST_F(HalfABatch, IsDroppedIfTheWholeOfItWasPlaced) {
  send_half();
  ASSERT_TRUE(lane(1).send_bytes(std::span(old_).subspan(kHalf)));
  await_ack(2);
  ASSERT_TRUE(lane(0).send(batch_header(3, 4), table(0, PageKind::raw, 4, 2), now_));
  await_ack(3);
  lane(1).shut();
  expect_lane_ended(1);
  ASSERT_TRUE(lane(0).send(batch_header(2, 4), table(0, PageKind::raw, 4, 2), old_));
  ASSERT_TRUE(lane(0).send({.type = FrameType::close, .sequence = 4}));
  std::vector<uint64_t> acknowledged;  // after those that were awaited; 0 and 1 may be among them
  while (acknowledged.empty() || acknowledged.back() != 4) {
    auto ack = source_->control.receive(FrameType::ack);
    ASSERT_TRUE(ack) << ack.error().message;
    acknowledged.push_back(ack->head.header.sequence);
  }
  EXPECT_EQ(std::count(acknowledged.begin(), acknowledged.end(), 2), 0) << "once each";
  EXPECT_EQ(std::count(acknowledged.begin(), acknowledged.end(), 3), 0) << "once each";
  expect_now();
}

TEST_F(DestinationTest, DamageOnOneOfSeveralLanesIsNoLostLane) {
  establish(2);
  HeaderBytes header = encode_header({.type = FrameType::record, .sequence = 2}, {});
  header[16] ^= 1;
  ASSERT_TRUE(lane(1).send_bytes(header));
  expect_failure("a frame header was damaged");
}

TEST_F(DestinationTest, ALieOnOneOfSeveralLanesIsNoLostLane) {
  begin(2);
  ASSERT_TRUE(lane(1).send(batch_header(2, 1), table(0, PageKind::zero, 1, 8), {}));
  expect_failure("outside guest memory");
}

TEST_F(DestinationTest, ALaneThatDiesBehindDoneIsNothing) {
  establish(1);
  ASSERT_TRUE(lane().send({.type = FrameType::open}));
  ASSERT_TRUE(lane().send({.type = FrameType::close, .sequence = 1}));
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(source_->control.receive(FrameType::ack));
  ASSERT_TRUE(source_->control.send(FrameType::done, json::object()));
  lane().shut();
  ASSERT_TRUE(source_->control.receive(FrameType::done));
  auto ended = session_->finish();
  EXPECT_TRUE(ended) << ended.error().message;
  session_.reset();
  EXPECT_FALSE(failure_.failed());
}

TEST_F(DestinationTest, ASourceThatGivesUpSaysWhy) {
  establish(1);
  ASSERT_TRUE(source_->control.send({.type = FrameType::failed}, bytes_of("the guest\x1b[2J was lost")));
  EXPECT_ERROR(session_->finish(), "source", R"(the guest\x1b[2J was lost)");
}

TEST_F(DestinationTest, LeavingWithAnOpenChannelIsAnError) {
  establish(1);
  ASSERT_TRUE(lane().send({.type = FrameType::open}));
  ASSERT_TRUE(source_->control.receive(FrameType::ack));
  ASSERT_TRUE(source_->control.send(FrameType::done, json::object()));
  expect_failure("channels still open");
}

TEST_F(DestinationTest, NothingBeginsBehindDone) {
  establish(2);
  ASSERT_TRUE(source_->control.send(FrameType::done, json::object()));
  ASSERT_TRUE(source_->control.receive(FrameType::done));
  EXPECT_TRUE(session_->finish());
  // It would wait for blocks that nobody can name any more.
  ASSERT_TRUE(
      lane().send(batch_header(0, 1), table(0, PageKind::raw, 1, 0), std::vector<uint8_t>(kModelPage)));
  // It would wait for its next frame.
  ASSERT_TRUE(lane(1).send({.type = FrameType::open, .channel = 1, .aux = 1}));
  EXPECT_FALSE(lane(0).receive());
  EXPECT_FALSE(lane(1).receive());
  session_.reset();
}

TEST_F(DestinationTest, AnAccountThatIsNoMapIsAnError) {
  establish(1);
  ASSERT_TRUE(source_->control.send({.type = FrameType::done}, bytes_of("hm")));
  expect_failure("CBOR");
}

TEST_F(DestinationTest, AFrameOnTheControlConnectionThatDoesNotBelongThereIsRefused) {
  establish(1);
  ASSERT_TRUE(source_->control.send({.type = FrameType::batch}));
  expect_failure("a frame `batch` on the control connection");
}

TEST_F(DestinationTest, BlocksThatAreNoMapAreRefused) {
  establish(1);
  ASSERT_TRUE(source_->control.send({.type = FrameType::blocks, .sequence = 1}, bytes_of("\x80")));
  expect_failure("not a CBOR map");
}

TEST_F(DestinationTest, ASecondListOfBlocksIsRefused) {
  begin();
  ASSERT_TRUE(source_->control.send({.type = FrameType::blocks, .sequence = 2},
                                    json::to_cbor(test::model_blocks({9}).to_json())));
  expect_failure("twice");
}

TEST_F(DestinationTest, AFrameThatComesAgainWhileItWaitsIsRefused) {
  establish(1);
  ASSERT_TRUE(lane().send({.type = FrameType::record, .sequence = 3}));
  ASSERT_TRUE(lane().send({.type = FrameType::record, .sequence = 3}));
  expect_failure("came twice");
}

TEST_F(DestinationTest, AFrameThatComesAgainAfterItLandedIsRefused) {
  establish(1);
  ASSERT_TRUE(lane().send({.type = FrameType::open}));
  ASSERT_TRUE(source_->control.receive(FrameType::ack));
  ASSERT_TRUE(lane().send({.type = FrameType::open}));
  expect_failure("came twice");
}

TEST_F(DestinationTest, AChannelOutOfBoundsIsRefused) {
  establish(1);
  ASSERT_TRUE(lane().send({.type = FrameType::open, .channel = 65535}));
  expect_failure("channel 65535");
}

TEST_F(DestinationTest, ABrokenSinkEndsTheSessionAtBothEnds) {
  establish(1);
  site_.break_sinks();
  ASSERT_TRUE(lane().send({.type = FrameType::open}));
  ASSERT_TRUE(lane().send({.type = FrameType::record, .sequence = 1}));
  expect_failure("the sink of channel 0 is broken");
}

TEST_F(DestinationTest, AbandonedItEndsAndTellsThePeer) {
  establish(2);
  session_.reset();
  auto told = source_->control.receive(FrameType::failed);
  ASSERT_TRUE(told) << told.error().message;
  EXPECT_ERROR(told->text(), "abandoned");
}

}  // namespace
}  // namespace wherry
