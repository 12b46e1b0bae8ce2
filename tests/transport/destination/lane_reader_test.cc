// Frames on a lane, including some that no Wherry sends.
#include "transport/destination/lane_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "compression/batch_table.h"
#include "compression/line_delta.h"
#include "compression/page_digest.h"
#include "tests/base/expect_error.h"
#include "tests/compression/sample_secret.h"
#include "tests/transport/destination/destination_fixture.h"
#include "tests/transport/destination/landing_fixture.h"
#include "tests/transport/support.h"
#include "transport/lane/lane.h"

namespace wherry {
namespace {

using nlohmann::json;
using test::bytes_of;
using test::kModelPage;
using Log = test::ModelSite::Log;

class LaneReaderTest : public test::DestinationFixture {};

TEST_F(LaneReaderTest, PagesArePlacedAndAcknowledged) {
  begin();
  const auto content = test::noise(2 * kModelPage, 3);
  ASSERT_TRUE(lane().send(batch_header(2, 2), table(0, PageKind::raw, 2, 5), content));
  ASSERT_TRUE(lane().send(batch_header(3, 3), table(0, PageKind::zero, 3, 0), {}));
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(source_->control.receive(FrameType::ack));
  EXPECT_EQ(site_.page(0, 5), std::vector<uint8_t>(content.begin(), content.begin() + kModelPage));
  EXPECT_EQ(site_.page(0, 6), std::vector<uint8_t>(content.begin() + kModelPage, content.end()));
  EXPECT_EQ(site_.page(0, 2), std::vector<uint8_t>(kModelPage, 0));
  EXPECT_EQ(session_->totals().landing.placed_pages, 5u);
}

TEST_F(LaneReaderTest, ARecordIsUnpacked) {
  establish(1);
  const std::string text(5000, 'x');
  const auto pack = zstd(bytes_of(text));
  const auto length = static_cast<uint32_t>(pack.size());
  ASSERT_TRUE(lane().send({.type = FrameType::open}));
  ASSERT_TRUE(lane().send(
      {.type = FrameType::record, .sequence = 1, .pack_length = length, .plain_length = 5000}, pack));
  ASSERT_TRUE(lane().send({.type = FrameType::record, .sequence = 2, .pack_length = 5, .plain_length = 5},
                          bytes_of("plain")));
  ASSERT_TRUE(site_.wait_log(0, 2));
  EXPECT_EQ(site_.log(0), (Log{"r" + text, "rplain"}));
}

TEST_F(LaneReaderTest, ARecordThatDoesNotUnpackIsRefused) {
  begin();
  ASSERT_TRUE(lane().send({.type = FrameType::record, .sequence = 2, .pack_length = 4, .plain_length = 5},
                          bytes_of("hm?!")));
  expect_failure("a pack does not unpack");
}

TEST_F(LaneReaderTest, ARecordThatUnpacksToAnotherLengthIsRefused) {
  begin();
  const auto pack = zstd(std::vector<uint8_t>(100));
  const auto length = static_cast<uint32_t>(pack.size());
  ASSERT_TRUE(lane().send(
      {.type = FrameType::record, .sequence = 2, .pack_length = length, .plain_length = 101}, pack));
  expect_failure("unpacks to 100 bytes instead of 101");
}

TEST_F(LaneReaderTest, ARecordWithMoreThanItsPackIsRefused) {
  begin();
  ASSERT_TRUE(lane().send({.type = FrameType::record, .sequence = 2, .pack_length = 3, .plain_length = 3},
                          bytes_of("more")));
  expect_failure("more than its pack");
}

TEST_F(LaneReaderTest, PacksRawPagesAndChangesArePlaced) {
  begin();
  PageHistory history({}, test::kSampleSecret);
  history.set_space({kModelPage, {8}});
  history.refer_to({0});
  std::vector<uint8_t> text = bytes_of(std::string(kModelPage, 't'));
  const std::vector<uint8_t> noise = test::noise(kModelPage, 3);
  for (uint64_t round = 0; round < 6; ++round) {
    const bool sums = round % 2;
    text[100] = static_cast<uint8_t>(round);
    PageBatch batch;
    batch.page_size = kModelPage;
    batch.add(0, 1, text.data());
    batch.add(0, 2, noise.data());
    batch.add(0, 3, nullptr);
    batch.add(0, round % 2 ? 4 : 5, noise.data());
    const auto epoch = static_cast<uint32_t>(round);
    ASSERT_TRUE(send_batch({.type = FrameType::batch, .epoch = epoch, .sequence = 2 + 2 * round}, batch,
                           history, sums));
    ASSERT_TRUE(lane().send({.type = FrameType::record,
                             .flags = kEpochEnd,
                             .epoch = epoch,
                             .sequence = 3 + 2 * round,
                             .aux = 1}));
    for (int i = 0; i < (round == 0 ? 4 : 2); ++i) {
      auto ack = source_->control.receive(FrameType::ack);
      ASSERT_TRUE(ack) << ack.error().message;
    }
    EXPECT_EQ(site_.page(0, 1), text) << round;
    EXPECT_EQ(site_.page(0, 2), noise) << round;
    EXPECT_EQ(site_.page(0, 3), std::vector<uint8_t>(kModelPage, 0)) << round;
    EXPECT_EQ(site_.page(0, 4 + (round + 1) % 2), noise) << round;
  }
  EXPECT_EQ(session_->totals().landing.asked_again, 0u);
  EXPECT_EQ(session_->totals().landing.placed_pages, 24u);
}

// A page of which line 0 is sent while the destination holds something else than the source believes.
class OtherBase : public LaneReaderTest {
 protected:
  OtherBase() : page_(test::noise(kModelPage, 5)), pack_(lines_size(1, kModelPage)) {
    put_lines(page_.data(), kModelPage, 1, test::kSampleSecret, pack_.data());
    header_ = batch_header(2, 1);
    header_.pack_length = header_.plain_length = static_cast<uint32_t>(pack_.size());
  }
  Result<> send_lines() { return lane().send(header_, table(0, PageKind::lines, 1, 4), pack_); }
  Result<> send_whole() { return lane().send(batch_header(2, 1), table(0, PageKind::raw, 1, 4), page_); }
  // The next of the two that comes.
  FrameType ack_or_again() {
    for (;;) {
      auto frame = source_->control.receive();
      if (!frame) return FrameType::failed;
      const FrameHeader& header = frame->head.header;
      if (header.sequence == 2 && header.channel == 0) return frame->type();
    }
  }
  std::vector<uint8_t> page_;
  std::vector<uint8_t> pack_;
  FrameHeader header_;
};

TEST_F(OtherBase, IsAskedForAgainWhereItLandsAtOnce) {
  begin();
  ASSERT_TRUE(send_lines());
  EXPECT_EQ(ack_or_again(), FrameType::again);
  EXPECT_EQ(site_.page(0, 4), std::vector<uint8_t>(kModelPage, 0xee));
  EXPECT_EQ(session_->totals().landing.placed_pages, 0u);
  ASSERT_TRUE(send_whole());
  EXPECT_EQ(ack_or_again(), FrameType::ack);
  EXPECT_EQ(site_.page(0, 4), page_);
  EXPECT_EQ(session_->totals().landing.asked_again, 1u);
  EXPECT_EQ(session_->totals().landing.placed_pages, 1u);
}

TEST_F(OtherBase, IsAskedForAgainWhereItHadToWait) {
  establish(1);
  ASSERT_TRUE(lane().send({.type = FrameType::open}));
  ASSERT_TRUE(source_->control.send({.type = FrameType::blocks, .sequence = 1},
                                    json::to_cbor(test::model_blocks({8}).to_json())));
  ASSERT_TRUE(send_lines());
  ASSERT_TRUE(lane().send({.type = FrameType::record, .sequence = 3}, bytes_of("behind")));
  ASSERT_TRUE(lane().send({.type = FrameType::open, .channel = 1, .aux = 1}));
  for (uint16_t channel = 0; channel != 1;) {  // they have all arrived then
    auto ack = source_->control.receive(FrameType::ack);
    ASSERT_TRUE(ack) << ack.error().message;
    channel = ack->head.header.channel;
  }
  session_->ready();
  EXPECT_EQ(ack_or_again(), FrameType::again);
  ASSERT_TRUE(send_whole());
  EXPECT_EQ(ack_or_again(), FrameType::ack);
  ASSERT_TRUE(site_.wait_log(0, 1));
  EXPECT_EQ(site_.page(0, 4), page_);
  EXPECT_EQ(session_->totals().landing.asked_again, 1u);
}

TEST_F(OtherBase, IsAnErrorWhereNothingIsPlaced) {
  site_.direct = false;
  begin();
  ASSERT_TRUE(send_lines());
  expect_failure("refers to pages that are not held here");
}

TEST_F(OtherBase, IsRefusedIfItsLinesAreCutOff) {
  begin();
  pack_[1] = 0xff;
  ASSERT_TRUE(send_lines());
  expect_failure("cut short");
}

TEST_F(LaneReaderTest, APageThatIsNotWhatItsSumSaysIsRefused) {
  begin();
  std::vector<uint8_t> body(kDigestBytes, 1);
  body.resize(kDigestBytes + kModelPage);
  FrameHeader header = batch_header(2, 1);
  header.flags = kSums;
  header.pack_length = header.plain_length = kDigestBytes;
  ASSERT_TRUE(lane().send(header, table(0, PageKind::raw, 1, 4), body));
  expect_failure("page 4 of RAM block number 0 is not what the source sent");
}

TEST_F(LaneReaderTest, ABatchWhosePackDoesNotUnpackIsRefused) {
  begin();
  FrameHeader header = batch_header(2, 1);
  header.pack_length = 100;
  header.plain_length = kModelPage;
  ASSERT_TRUE(lane().send(header, table(0, PageKind::packed, 1, 0), test::noise(100, 1)));
  expect_failure("a pack does not unpack");
}

TEST_F(LaneReaderTest, ABatchThatUnpacksToTooMuchIsRefused) {
  begin();
  FrameHeader header = batch_header(2, 1);
  const auto pack = zstd(std::vector<uint8_t>(kMostPlain + 1));
  header.pack_length = static_cast<uint32_t>(pack.size());
  header.plain_length = kMostPlain + 1;
  (void)lane().send(header, table(0, PageKind::packed, 1, 0), pack);
  expect_failure(fmt::format("a batch of {} bytes", kMostPlain + 1));
}

class NoPack : public LaneReaderTest, public testing::WithParamInterface<PageKind> {};

TEST_P(NoPack, PagesOfAPackThatIsNotThereAreRefused) {
  begin();
  ASSERT_TRUE(lane().send(batch_header(2, 1), table(0, GetParam(), 1, 0), std::vector<uint8_t>(kModelPage)));
  expect_failure(GetParam() == PageKind::lines ? "cut short" : "shorter than its table says");
}

INSTANTIATE_TEST_SUITE_P(Kinds, NoPack,
                         testing::Values(PageKind::packed, PageKind::lines, PageKind::patch, PageKind::keep,
                                         PageKind::kept));

// One frame could otherwise make the destination allocate for all places below.
TEST_F(LaneReaderTest, TheLastPlaceForACopyTakesNoMoreThanTheFirst) {
  site_.direct = false;
  begin();
  auto bases = source_->control.receive(FrameType::bases);
  ASSERT_TRUE(bases) << bases.error().message;
  std::vector<uint8_t> pack(kPlaceBytes + kModelPage);
  put_le(pack.data(), bases->map()["copies"].get<uint32_t>() - 1);
  FrameHeader header = batch_header(2, 1);
  header.pack_length = header.plain_length = static_cast<uint32_t>(pack.size());
  ASSERT_TRUE(lane().send(header, table(0, PageKind::keep, 1, 3), pack));
  for (uint64_t landed = 0; landed != 2;) {
    auto ack = source_->control.receive(FrameType::ack);
    ASSERT_TRUE(ack) << ack.error().message;
    landed = ack->head.header.sequence;
  }
  EXPECT_LT(session_->totals().landing.guest.copies_bytes, 2 * kModelPage);
}

TEST_F(LaneReaderTest, BlocksOnALaneAreRefused) {
  establish(1);
  ASSERT_TRUE(lane().send({.type = FrameType::blocks, .sequence = 1},
                          json::to_cbor(test::model_blocks({8}).to_json())));
  expect_failure("the RAM blocks came on a lane");
}

TEST_F(LaneReaderTest, AFrameOnALaneThatDoesNotBelongThereIsRefused) {
  establish(1);
  ASSERT_TRUE(lane().send({.type = FrameType::open}));
  ASSERT_TRUE(lane().send({.type = FrameType::reverse, .sequence = 1}));
  expect_failure("channel 0 has a frame `reverse`");
}

TEST_F(LaneReaderTest, AFrameThatEndsEarlyIsAnError) {
  begin();
  const auto header = encode_header({.type = FrameType::record, .sequence = 2, .body_length = 100}, {});
  ASSERT_TRUE(lane().send_bytes(header));
  ASSERT_TRUE(lane().send_bytes(std::vector<uint8_t>(99)));
  lane().end_sending();
  expect_failure("the connection ended");
}

TEST_F(LaneReaderTest, AHeaderThatEndsEarlyIsAnError) {
  begin();
  const HeaderBytes header = encode_header({.type = FrameType::record}, {});
  ASSERT_TRUE(lane().send_bytes(std::span(header).first(20)));
  lane().end_sending();
  expect_failure("the connection ended in the middle");
}

TEST_F(LaneReaderTest, ADamagedBodyIsAnError) {
  begin();
  ASSERT_TRUE(
      lane().send_bytes(encode_header({.type = FrameType::record, .sequence = 2, .body_length = 4}, {})));
  ASSERT_TRUE(lane().send_bytes(bytes_of("abcd")));
  expect_failure("damaged on its way (channel 0, frame 2, 4 bytes)");
}

TEST_F(LaneReaderTest, ADamagedHeadIsAnError) {
  begin();
  HeaderBytes header = encode_header({.type = FrameType::record, .sequence = 2}, {});
  header[16] ^= 1;
  ASSERT_TRUE(lane().send_bytes(header));
  expect_failure("a frame header was damaged");
}

TEST_F(LaneReaderTest, LengthsOutOfBoundsAreRefused) {
  begin();
  ASSERT_TRUE(lane().send_bytes(
      encode_header({.type = FrameType::record, .sequence = 2, .body_length = kMaxBody + 1}, {})));
  expect_failure("a body of 1048577 bytes");
}

TEST_F(LaneReaderTest, ABatchLongerThanASlotIsRefused) {
  begin();
  const std::vector<uint8_t> body(kSlotBytes + 1);
  site_.by_iovec = false;
  (void)lane().send(batch_header(2, 1), table(0, PageKind::raw, 1, 0), body);
  expect_failure("a batch of 589825 bytes");
}

TEST_F(LaneReaderTest, ABatchThatMiscountsIsRefused) {
  begin();
  ASSERT_TRUE(
      lane().send(batch_header(2, 2), table(0, PageKind::raw, 1, 0), std::vector<uint8_t>(kModelPage)));
  expect_failure("miscounts its pages");
}

TEST_F(LaneReaderTest, ABatchOfPagesOutsideIsRefused) {
  begin();
  ASSERT_TRUE(lane().send(batch_header(2, 1), table(0, PageKind::zero, 1, 8), {}));
  expect_failure("outside guest memory");
}

TEST_F(LaneReaderTest, ABatchWithoutATableIsRefused) {
  begin();
  ASSERT_TRUE(lane().send(batch_header(2, 0)));
  expect_failure("a page table of 0 bytes");
}

TEST_F(LaneReaderTest, ABatchOfAnotherLengthIsRefusedWhereItIsPlaced) {
  begin();
  ASSERT_TRUE(
      lane().send(batch_header(2, 1), table(0, PageKind::raw, 1, 0), std::vector<uint8_t>(kModelPage - 1)));
  expect_failure("not as long as its table says");
}

TEST_F(LaneReaderTest, ABatchOfAnotherLengthIsRefusedWhereItIsRelayed) {
  site_.direct = false;
  begin();
  ASSERT_TRUE(
      lane().send(batch_header(2, 1), table(0, PageKind::raw, 1, 0), std::vector<uint8_t>(kModelPage + 1)));
  expect_failure("longer or shorter than its table says");
}

// A batch takes no room for bytes that it does not carry: however little is in each, a source that keeps to
// its window is never told that it sends too much.
TEST_F(LaneReaderTest, ManySmallBatchesWaitForTheirEpoch) {
  constexpr uint64_t kBatches = 3000;
  establish(1);
  ASSERT_TRUE(lane().send({.type = FrameType::open}));
  ASSERT_TRUE(source_->control.send({.type = FrameType::blocks, .sequence = 1},
                                    json::to_cbor(test::model_blocks({8}).to_json())));
  ASSERT_TRUE(source_->control.receive(FrameType::bases));
  const auto content = test::noise(kModelPage, 3);
  for (uint64_t i = 0; i < kBatches; ++i) {
    const bool zero = i % 2;
    if (!lane().send(batch_header(2 + i, 1), table(0, zero ? PageKind::zero : PageKind::raw, 1, i % 8),
                     zero ? std::span<const uint8_t>() : std::span<const uint8_t>(content))) {
      break;
    }
  }
  // Another channel's opening, after them on the lane: they are all there when it lands.
  (void)lane().send({.type = FrameType::open, .channel = 1, .aux = 1});
  for (uint16_t channel = 0; channel != 1;) {
    auto ack = source_->control.receive();
    ASSERT_TRUE(ack) << ack.error().message;
    ASSERT_EQ(ack->type(), FrameType::ack) << ack->text();
    channel = ack->head.header.channel;
  }
  session_->ready();
  ASSERT_TRUE(lane().send({.type = FrameType::close, .sequence = 2 + kBatches}));
  for (uint64_t i = 0; i < 1 + kBatches; ++i) {
    auto ack = source_->control.receive();
    ASSERT_TRUE(ack) << ack.error().message;
    ASSERT_EQ(ack->type(), FrameType::ack) << ack->text();
  }
}

// A lane of which a test says what comes next on it.
class ScriptedLane : public LaneReceiver {
 public:
  // The head of a frame; its body is there at once, or if it comes `later` with body().
  void frame(const Arrival& frame, const std::vector<uint8_t>& body, bool later = false) {
    FrameHead head{.header = frame.header, .table = {}};
    put_table(frame.pages.runs, head.table);
    head.header.body_length = static_cast<uint32_t>(body.size());
    news_.push_back([this, head, body, later](FrameHead& out) {
      out = head;
      coming_ = {body, later};
      return News::head;
    });
  }
  // The body is there that has been on its way the longest.
  void body() {
    news_.push_back([this](FrameHead&) {
      const auto& [bytes, where] = on_their_way_.front();
      put(bytes, where);
      on_their_way_.pop_front();
      return News::body;
    });
  }
  // Something to look at in between.
  void look(std::function<void()> at) {
    news_.push_back([at = std::move(at)](FrameHead&) {
      at();
      return std::nullopt;
    });
  }
  void when_settled(std::function<void()> look) { settled_ = std::move(look); }

  void attach_guest(std::span<uint8_t>) override {}
  // Lost when nothing more comes.
  Result<News> next(FrameHead& head) override {
    while (!news_.empty()) {
      auto next = std::move(news_.front());
      news_.pop_front();
      if (const std::optional<News> news = next(head)) return *news;
    }
    return fail("the lane is lost");
  }
  Result<bool> land(std::span<iovec> where) override {
    auto& [bytes, later] = coming_;
    if (later) on_their_way_.emplace_back(bytes, std::vector<iovec>(where.begin(), where.end()));
    if (!later) put(bytes, where);
    return !later;
  }
  void settle() override {
    if (settled_) settled_();
  }
  uint64_t bytes_written() const override { return 0; }
  bool lost() const override { return news_.empty(); }
  void shut() override {}
  std::string peer() const override { return "a test"; }

 private:
  static void put(std::span<const uint8_t> bytes, std::span<const iovec> where) {
    for (const iovec& piece : where) {
      std::copy_n(bytes.begin(), piece.iov_len, static_cast<uint8_t*>(piece.iov_base));
      bytes = bytes.subspan(piece.iov_len);
    }
  }
  std::deque<std::function<std::optional<News>(FrameHead&)>> news_;
  std::pair<std::vector<uint8_t>, bool> coming_;
  std::deque<std::pair<std::vector<uint8_t>, std::vector<iovec>>> on_their_way_;
  std::function<void()> settled_;
};

// Without a session.
class LaneReaderAlone : public test::LandingFixture {
 protected:
  test::Script main_{0};
  ScriptedLane lane_;
  SlotPool slots_{2};
};

TEST_F(LaneReaderAlone, ABodyThatIsThereAtOnceOvertakesThoseOnTheirWay) {
  begin({4});
  main_.page(0, 1, 7).page(0, 2, 8).record("c").page(0, 3, 9);
  const auto& frames = main_.frames();
  lane_.frame(frames[0], {});
  lane_.frame(frames[1], main_.content(7), true);
  lane_.frame(frames[2], main_.content(8), true);
  lane_.frame(frames[3], bytes_of("c"));
  lane_.frame(frames[4], main_.content(9));
  lane_.look([this] {
    EXPECT_TRUE(acknowledged(0, 4));
    EXPECT_FALSE(acknowledged(0, 1));
    EXPECT_FALSE(acknowledged(0, 2));
  });
  lane_.body();
  lane_.look([this] {
    EXPECT_TRUE(acknowledged(0, 1));
    EXPECT_FALSE(acknowledged(0, 2));
  });
  lane_.body();
  LaneReader reader(lane_, *landing_, slots_);
  EXPECT_ERROR(reader.run(), "the lane is lost");
  ASSERT_TRUE(wait_acknowledged(5));
  EXPECT_EQ(site_.page(0, 1), main_.content(7));
  EXPECT_EQ(site_.page(0, 2), main_.content(8));
  EXPECT_EQ(site_.page(0, 3), main_.content(9));
}

// What is left of a body may be written until the lane is settled.
TEST_F(LaneReaderAlone, WhatIsOnItsWayIsGivenUpOnceTheLaneIsSettled) {
  begin({4});
  main_.page(0, 1, 7);
  const Arrival& frame = main_.frames()[1];
  lane_.frame(frame, main_.content(7), true);
  bool settled = false;
  lane_.when_settled([&] {
    EXPECT_ERROR(landing_->claim(frame.header), "came twice");
    settled = true;
  });
  LaneReader reader(lane_, *landing_, slots_);
  reader.run();
  EXPECT_FALSE(settled);
  reader.settle();
  EXPECT_TRUE(settled);
  ASSERT_TRUE(arrive(frame));
  EXPECT_EQ(site_.page(0, 1), main_.content(7));
}

TEST_F(LaneReaderAlone, ABodyOfAFrameThatIsHereAlreadyIsThrownAway) {
  begin({4});
  main_.page(0, 1, 7).record("b");
  const auto& frames = main_.frames();
  ASSERT_TRUE(arrive(frames[1]));
  landing_->lane_lost();
  lane_.frame(frames[1], main_.content(8), true);
  lane_.frame(frames[0], {});
  lane_.frame(frames[2], bytes_of("b"));
  lane_.body();
  LaneReader reader(lane_, *landing_, slots_);
  EXPECT_ERROR(reader.run(), "the lane is lost");
  ASSERT_TRUE(wait_acknowledged(3));
  EXPECT_EQ(site_.page(0, 1), main_.content(7));
  EXPECT_EQ(site_.log(0), (Log{"rb"}));
}

}  // namespace
}  // namespace wherry
