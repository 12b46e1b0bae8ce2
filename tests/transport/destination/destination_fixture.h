// What the tests of a DestinationSession and of its parts share: a session on a ModelSite, and a source that
// sends what it is told to.
#pragma once

#include <gtest/gtest.h>
#include <zstd.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "compression/batch_encoder.h"
#include "compression/batch_table.h"
#include "tests/base/expect_error.h"
#include "tests/transport/destination/model_site.h"
#include "tests/transport/support.h"
#include "tests/transport/wire/raw_peer.h"
#include "transport/destination/destination_session.h"
#include "transport/socket/listener.h"

namespace wherry::test {

class DestinationFixture : public testing::Test {
 protected:
  DestinationFixture() : watchdog_("a destination session") {}
  void SetUp() override {
    auto listener = Listener::open({.path = {}, .host = "127.0.0.1", .port = 0});
    ASSERT_TRUE(listener);
    listener_ = std::make_unique<Listener>(std::move(*listener));
    accepting_ = std::thread([this] {
      auto accepted = DestinationSession::accept(
          *listener_, fabric_, site_,
          [](const nlohmann::json&) {
            return nlohmann::json{{"side", "destination"}};
          },
          failure_);
      if (accepted) session_ = std::move(*accepted);
    });
  }
  void TearDown() override {
    listener_->stop();
    if (accepting_.joinable()) accepting_.join();
    session_.reset();
  }

  const Endpoint& where() const { return listener_->where(); }
  // Control and lanes are there, and the session runs.
  void establish(uint32_t lanes) {
    source_.emplace(where(), lanes);
    accepting_.join();
    ASSERT_TRUE(session_);
    session_->start();
  }
  RawConnection& lane(size_t i = 0) { return source_->lanes[i]; }
  // Opens the main channel, names a block of 8 pages, and lets pages land.
  void begin(uint32_t lanes = 1) {
    establish(lanes);
    session_->ready();
    ASSERT_TRUE(lane().send({.type = FrameType::open}));
    ASSERT_TRUE(source_->control.send({.type = FrameType::blocks, .sequence = 1},
                                      nlohmann::json::to_cbor(model_blocks({8}).to_json())));
  }
  // The session fails cleanly: finish() says so, so does the peer's control connection, and all threads end.
  void expect_failure(const std::string& why) {
    EXPECT_ERROR(session_->finish(), why);
    auto told = source_->control.receive(FrameType::failed);
    ASSERT_TRUE(told) << told.error().message;
    EXPECT_ERROR(told->text(), why);
    session_.reset();
    for (RawConnection& lane : source_->lanes) EXPECT_FALSE(lane.receive());
  }

  // The next that the destination says, apart from acknowledgements and the like, is that it ended that lane.
  void expect_lane_ended(uint32_t lane) {
    auto ended = source_->control.receive(FrameType::lane_ended);
    ASSERT_TRUE(ended) << ended.error().message;
    EXPECT_EQ(ended->head.header.aux, lane);
  }

  static std::vector<uint8_t> table(uint16_t block, PageKind kind, uint32_t count, uint64_t first) {
    const PageRun run{block, kind, count, first};
    std::vector<uint8_t> bytes;
    put_table({&run, 1}, bytes);
    return bytes;
  }
  // A batch as an encoder makes it.
  Result<> send_batch(FrameHeader header, const PageBatch& batch, PageHistory& history, bool sums = false) {
    BatchEncoder encoder(&history);
    EncodedBatch encoded;
    encoder.encode(batch, 0, {Encoding::History::kept, 1, sums}, encoded);
    header.pages = batch.page_count();
    header.pack_length = encoded.pack_size;
    header.plain_length = encoded.plain_size;
    if (sums) header.flags |= kSums;
    std::vector<uint8_t> body;
    for (std::span<const uint8_t> part : encoded.body) body.insert(body.end(), part.begin(), part.end());
    return lane().send(header, encoded.table, body);
  }
  static std::vector<uint8_t> zstd(std::span<const uint8_t> bytes) {
    std::vector<uint8_t> pack(ZSTD_compressBound(bytes.size()));
    pack.resize(ZSTD_compress(pack.data(), pack.size(), bytes.data(), bytes.size(), 1));
    return pack;
  }
  static FrameHeader batch_header(uint64_t sequence, uint32_t pages) {
    return {.type = FrameType::batch, .sequence = sequence, .pages = pages};
  }

  Watchdog watchdog_;
  FabricWish fabric_{.provider = "tcp"};  // the destination's
  ModelSite site_;
  std::unique_ptr<Listener> listener_;
  std::thread accepting_;
  Failure failure_;
  std::unique_ptr<DestinationSession> session_;
  std::optional<RawSource> source_;
};

}  // namespace wherry::test
