// A source over a fabric, made by hand, that writes once more to where a write was granted to it. What came
// there has been taken by then, so nothing changes at the destination: neither pages that wait, nor a pack
// that was checked.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "compression/keyed_hash.h"
#include "compression/page_patch.h"
#include "tests/compression/sample_secret.h"
#include "tests/transport/destination/destination_fixture.h"
#include "tests/transport/support.h"
#include "transport/fabric/fabric_handshake.h"
#include "transport/fabric/fabric_message.h"
#include "transport/lane/slots.h"
#include "transport/wire/first_frame.h"

namespace wherry {
namespace {

using nlohmann::json;
using test::kModelPage;
using Bytes = std::vector<uint8_t>;

// So many that a batch of them takes a slot.
constexpr uint32_t kLatePages = 160;

class LateWrites : public test::DestinationFixture {
 protected:
  using Target = FabricConnection::Target;

  void SetUp() override {
    DestinationFixture::SetUp();
    site_.by_iovec = false;  // pages are not received where they belong
    control_.emplace(where());
    ASSERT_TRUE(control_->send(FrameType::hello, test::valid_hello(1)));
    auto welcome = control_->receive(FrameType::welcome);
    ASSERT_TRUE(welcome) << welcome.error().message;
    auto fd = connect_to(where(), test::kForever, test::kForever);
    ASSERT_TRUE(fd) << fd.error().message;
    auto socket = std::make_unique<FrameSocket>(std::move(*fd), "the destination");
    socket->set_patience(test::kForever);
    const json hello = {{"token", welcome->map()["token"]}, {"lane", 0u}, {"fabric", fabric_.provider}};
    ASSERT_TRUE(socket->send({.type = FrameType::lane_hello}, json::to_cbor(hello)));
    auto offered = read_welcome(*socket);
    ASSERT_TRUE(offered) << offered.error().message;
    auto path = call_fabric(*socket, *offered, fabric_, domains_, slots_);
    ASSERT_TRUE(path) << path.error().message;
    ASSERT_TRUE(path->connection) << path->why_not;
    lane_ = std::move(path->connection);
    lane_->adopt(std::move(socket), test::kForever);
    accepting_.join();
    ASSERT_TRUE(session_);
    ASSERT_TRUE(session_->start());
    ASSERT_TRUE(control_->send({.type = FrameType::open}));
    ASSERT_TRUE(control_->send({.type = FrameType::blocks, .sequence = 1},
                               json::to_cbor(test::model_blocks({kLatePages}).to_json())));
  }

  // Sends a frame in messages.
  void send(FrameHeader header, std::span<const uint8_t> table, std::span<const uint8_t> body) {
    header.table_length = static_cast<uint32_t>(table.size());
    header.body_length = static_cast<uint32_t>(body.size());
    Checksum sum;
    sum.add(body);
    header.body_sum = sum.value();
    std::span<const uint8_t> part = body.first(std::min(body.size(), fabric_first_body_bytes(table.size())));
    ASSERT_TRUE(lane_->send([&](std::span<uint8_t> to) {
      return encode_frame_message(to, header, table, {&part, 1});
    }));
    while (!(body = body.subspan(part.size())).empty()) {
      part = body.first(std::min(body.size(), kFabricBodyBytes));
      ASSERT_TRUE(lane_->send([&](std::span<uint8_t> to) { return encode_body_message(to, {&part, 1}); }));
    }
    flush();
  }
  // Offers raw pages, and writes them where that is granted. Returns where that was.
  Target offer(FrameHeader header, std::span<const uint8_t> table, const Bytes& pages) {
    header.table_length = static_cast<uint32_t>(table.size());
    header.body_length = static_cast<uint32_t>(pages.size());
    EXPECT_TRUE(
        lane_->send([&](std::span<uint8_t> to) { return encode_offer_message(to, kTag, header, table); }));
    while (!granted_ && !HasFailure()) look();
    if (!granted_) return {};
    EXPECT_EQ(granted_->pieces.size(), 1u);
    const Target to{granted_->pieces[0].address, granted_->pieces[0].key};
    write(pages, to, kTag);
    return to;
  }
  void write(const Bytes& bytes, Target to, std::optional<uint32_t> tag = std::nullopt) {
    const Slot slot = slots_.take();
    std::copy(bytes.begin(), bytes.end(), slot.get());
    const std::span<const uint8_t> piece(slot.get(), bytes.size());
    ASSERT_TRUE(lane_->write({&piece, 1}, to, tag));
    flush();
  }
  // Sends a frame of channel 1 behind all that was sent and written, and waits until it has landed: the rest
  // has arrived then.
  void send_behind(FrameHeader header) {
    header.channel = 1;
    send(header, {}, {});
    await_ack(1, header.sequence);
  }
  void await_ack(uint16_t channel, uint64_t sequence) {
    while (!acks_.contains({channel, sequence})) {
      auto frame = control_->receive();
      ASSERT_TRUE(frame) << frame.error().message;
      ASSERT_NE(frame->type(), FrameType::failed) << frame->text();
      const FrameHeader& header = frame->head.header;
      if (frame->type() == FrameType::ack) acks_.emplace(header.channel, header.sequence);
    }
  }
  // The guest's pages are these.
  void expect_pages(const Bytes& pages) {
    for (uint32_t i = 0; i < kLatePages; ++i) {
      const auto from = pages.begin() + i * kModelPage;
      ASSERT_EQ(site_.page(0, i), Bytes(from, from + kModelPage)) << i;
    }
  }

  std::optional<test::RawConnection> control_;

 private:
  static constexpr uint32_t kTag = 7;
  // Takes what the destination answers.
  void look() {
    auto event = lane_->next(std::chrono::milliseconds(10));
    ASSERT_TRUE(event) << event.error().message;
    if (!*event) return;
    auto answer = decode_answer((*event)->message.bytes());
    ASSERT_TRUE(answer) << answer.error().message;
    if (answer->grant) granted_ = answer->grant;
  }
  void flush() {
    while (!lane_->idle() && !HasFailure()) look();
  }

  SlotPool slots_{4};
  FabricDomains domains_;
  std::unique_ptr<FabricConnection> lane_;
  std::optional<FabricGrant> granted_;
  std::set<std::pair<uint16_t, uint64_t>> acks_;
};

TEST_F(LateWrites, DoNotReachPagesThatWait) {
  const Bytes pages = test::noise(kLatePages * kModelPage, 1);
  const Target granted = offer(batch_header(2, kLatePages), table(0, PageKind::raw, kLatePages, 0), pages);
  send_behind({.type = FrameType::open, .aux = 1});
  write(Bytes(pages.size(), 0xff), granted);
  send_behind({.type = FrameType::record, .sequence = 1});
  session_->ready();
  await_ack(0, 2);
  expect_pages(pages);
}

class LateWritesToPacks : public LateWrites, public testing::WithParamInterface<PageKind> {
 protected:
  // What a pack has of the pages `now`, which were `before`.
  static Bytes pack_of(const Bytes& before, const Bytes& now) {
    if (GetParam() == PageKind::packed) return now;
    Bytes pack;
    for (size_t at = 0; at < now.size(); at += kModelPage) {
      Bytes said(kSumBytes + 2 * kModelPage);
      put_le<uint64_t>(said.data(), hash_page(&now[at], kModelPage, test::kSampleSecret));
      const std::span<uint8_t> patch = std::span(said).subspan(kSumBytes);
      said.resize(kSumBytes + make_patch(&before[at], &now[at], kModelPage, patch));
      pack.insert(pack.end(), said.begin(), said.end());
    }
    return pack;
  }
};

// The first batch is placed, so that what its pages came to is free for the second. That one is checked, and
// waits for channel 1 to end its epoch.
TEST_P(LateWritesToPacks, DoNotReachWhatWasChecked) {
  session_->ready();
  const Bytes before = test::noise(kLatePages * kModelPage, 1);
  const Target granted = offer(batch_header(2, kLatePages), table(0, PageKind::raw, kLatePages, 0), before);
  await_ack(0, 2);
  ASSERT_TRUE(control_->send({.type = FrameType::record, .flags = kEpochEnd, .sequence = 3, .aux = 2}));
  const Bytes now = test::noise(kLatePages * kModelPage, 2);
  const Bytes pack = pack_of(before, now);
  FrameHeader header = batch_header(4, kLatePages);
  header.epoch = 1;
  header.pack_length = header.plain_length = static_cast<uint32_t>(pack.size());
  send(header, table(0, GetParam(), kLatePages, 0), pack);
  send_behind({.type = FrameType::open, .aux = 1});
  write(Bytes(pack.size(), 0xff), granted);
  send_behind({.type = FrameType::record, .flags = kEpochEnd, .sequence = 1});
  await_ack(0, 4);
  expect_pages(now);
}

INSTANTIATE_TEST_SUITE_P(Kinds, LateWritesToPacks, testing::Values(PageKind::packed, PageKind::patch));

}  // namespace
}  // namespace wherry
