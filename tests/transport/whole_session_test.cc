// Whole sessions: a source and a destination over each kind of path.
#include <gtest/gtest.h>
#include <poll.h>

#include <array>
#include <optional>
#include <random>
#include <set>
#include <thread>

#include "tests/base/expect_error.h"
#include "tests/transport/destination/model_site.h"
#include "tests/transport/far_end.h"
#include "tests/transport/path.h"
#include "tests/transport/source/way_back_log.h"
#include "tests/transport/support.h"
#include "tests/transport/wire/raw_peer.h"
#include "transport/source/source_session.h"

namespace wherry {
namespace {

using nlohmann::json;
using test::bytes_of;
using test::kModelPage;
using Log = test::ModelSite::Log;

// Sessions over a path.
class SessionOverPath : public testing::Test {
 protected:
  explicit SessionOverPath(test::Path path) : watchdog_("a session"), path_(std::move(path)) {}
  void establish(size_t lanes, uint64_t bandwidth = 0) {
    far_end_.emplace(path_, setup_);
    auto connected = SourceSession::connect({.peers = {far_end_->where()},
                                             .lanes = lanes,
                                             .bandwidth = bandwidth,
                                             .fabric = path_.fabric,
                                             .wishes = {{"wish", 1u}}},
                                            back_.way(), failure_);
    ASSERT_TRUE(connected) << connected.error().message;
    source_ = std::move(*connected);
    ASSERT_TRUE(far_end_->start());
  }
  // Both ends take leave in peace.
  void expect_good_end() {
    auto theirs = source_->finish({{"side", "source"}});
    ASSERT_TRUE(theirs) << theirs.error().message;
    EXPECT_EQ(*theirs, (json{{"side", "destination"}}));
    auto ours = far_end_->finish();
    ASSERT_TRUE(ours) << ours.error().message;
    EXPECT_EQ(*ours, (json{{"side", "source"}}));
    EXPECT_FALSE(failure_.failed());
    EXPECT_FALSE(far_end_->failed());
    const FlightWindow::State window = source_->totals().window;
    EXPECT_EQ(window.in_flight, 0u);
    EXPECT_LE(window.most_in_flight, window.largest_bound);
  }
  static void record(SourceChannel& channel, const std::string& text, uint16_t flags = 0, uint32_t aux = 0) {
    ASSERT_EQ(channel.take_room(text.size(), true), text.size());
    channel.record(bytes_of(text), flags, aux, text.size());
  }

  test::Watchdog watchdog_;
  const test::Path path_;
  test::FarEndSetup setup_;
  std::optional<test::FarEnd> far_end_;
  test::WayBackLog back_;
  Failure failure_;
  std::unique_ptr<SourceSession> source_;
};

class SessionTest : public SessionOverPath, public testing::WithParamInterface<test::Path> {
 protected:
  SessionTest() : SessionOverPath(GetParam()) {}
};
INSTANTIATE_TEST_SUITE_P(Over, SessionTest, testing::ValuesIn(test::all_paths(test::session_fabric_paths())),
                         testing::PrintToStringParamName());

TEST_P(SessionTest, CarriesWishesAndAccounts) {
  establish(1);
  EXPECT_EQ(far_end_->wishes(), (json{{"wish", 1u}}));
  expect_good_end();
}

class SessionOverLanes : public SessionOverPath,
                         public testing::WithParamInterface<std::tuple<test::Path, size_t>> {
 protected:
  static constexpr uint16_t kChannels = 4;
  static constexpr uint32_t kEpochs = 6;
  static constexpr uint64_t kPages = 64;

  SessionOverLanes() : SessionOverPath(std::get<0>(GetParam())), lanes_(std::get<1>(GetParam())) {}
  static bool is_zero(uint32_t epoch, uint64_t page) { return (epoch + page) % 5 == 0; }
  static std::vector<uint8_t> content(uint32_t epoch, uint64_t page) {
    if (is_zero(epoch, page)) return std::vector<uint8_t>(kModelPage, 0);
    auto bytes = test::noise(kModelPage, static_cast<uint32_t>(epoch * 1000 + page));
    bytes[0] = static_cast<uint8_t>(epoch);
    return bytes;
  }
  // Sends the pages of an epoch that are this channel's, in several batches. `sender`: whose each page is.
  void send_pages(SourceChannel& channel, uint32_t epoch, const std::vector<uint16_t>& sender) {
    Slot slot = source_->take_slot();
    size_t used = 0;
    PageBatch batch;
    batch.page_size = kModelPage;
    auto flush = [&] {
      if (batch.empty()) return;
      const size_t charge = batch.data.size() * kModelPage;
      for (size_t taken = 0; taken < charge;) taken += channel.take_room(charge - taken, true);
      channel.pages(batch, slot, charge);
      batch.clear();
    };
    for (uint64_t page = 0; page < kPages; ++page) {
      if (sender[page] != channel.number()) continue;
      uint8_t* at = nullptr;
      if (!is_zero(epoch, page)) {
        at = slot.get() + used;
        const auto bytes = content(epoch, page);
        std::copy(bytes.begin(), bytes.end(), at);
        used += kModelPage;
      }
      batch.add(static_cast<uint16_t>(page % 2), page / 2, at);
      if (page % 7 == 0) flush();
    }
    flush();
  }
  // What both ends count when each page was sent once in each epoch.
  void expect_figures() {
    const SourceSession::Totals totals = source_->totals();
    EXPECT_EQ(totals.guest_bytes, kEpochs * kPages * kModelPage);
    EXPECT_EQ(
        totals.pages.zero + totals.pages.same + totals.pages.delta + totals.pages.zstd + totals.pages.raw,
        kEpochs * kPages);
    EXPECT_GT(totals.pages.zero, 0u);
    ASSERT_EQ(totals.lanes.size(), lanes_);
    uint64_t on_lanes = 0;
    for (const auto& lane : totals.lanes) {
      on_lanes += lane.bytes;
      EXPECT_EQ(lane.no_fabric.empty(), path_.is_fabric()) << lane.no_fabric;
    }
    EXPECT_GT(on_lanes, totals.pages.raw * kModelPage);
    EXPECT_GT(totals.wire_bytes, on_lanes);
    EXPECT_EQ(far_end_->placed_pages(), kEpochs * kPages);
  }

  const size_t lanes_;
};

// Channels that each send records and pages in several epochs: each arrives in its order, the guest's memory
// ends as the source had it, and nothing lands before its time.
TEST_P(SessionOverLanes, CarriesChannelsInOrder) {
  setup_.participants = kChannels;
  establish(lanes_);
  std::vector<std::unique_ptr<SourceChannel>> channels;
  for (uint16_t i = 0; i < kChannels; ++i) {
    channels.push_back(source_->open_channel(i == 0 ? ChannelKind::main : ChannelKind::data));
    EXPECT_EQ(channels.back()->number(), i);
  }
  channels[0]->blocks(test::model_blocks({kPages, kPages}));

  // Which channel sends which page is drawn anew for each epoch.
  std::mt19937 draw(5);
  std::vector<std::vector<uint16_t>> sender(kEpochs, std::vector<uint16_t>(kPages));
  for (auto& epoch : sender) {
    for (uint16_t& channel : epoch) channel = static_cast<uint16_t>(draw() % kChannels);
  }

  std::vector<Log> expected(kChannels);
  std::vector<std::thread> readers;
  for (uint16_t number = 0; number < kChannels; ++number) {
    readers.emplace_back([&, number] {
      SourceChannel& channel = *channels[number];
      for (uint32_t epoch = 0; epoch < kEpochs; ++epoch) {
        send_pages(channel, epoch, sender[epoch]);
        const std::string end = fmt::format("channel {} epoch {}", number, epoch);
        record(channel, end, kEpochEnd, kChannels);
        expected[number].push_back("r" + end);
        if (epoch == 1 && number == 0) far_end_->ready();
      }
      channel.close(false);
      expected[number].push_back("c");
    });
  }
  for (std::thread& reader : readers) reader.join();
  expect_good_end();

  EXPECT_EQ(far_end_->too_early(), 0);
  for (uint16_t number = 0; number < kChannels; ++number) {
    Log log = far_end_->log(number);
    std::erase_if(log, [](const std::string& entry) { return entry[0] == 'p'; });
    EXPECT_EQ(log, expected[number]);
  }
  const std::array blocks{far_end_->pages(0), far_end_->pages(1)};
  for (uint64_t page = 0; page < kPages; ++page)
    EXPECT_EQ(blocks[page % 2][page / 2], content(kEpochs - 1, page)) << page;
  expect_figures();
}

INSTANTIATE_TEST_SUITE_P(Over, SessionOverLanes,
                         testing::Combine(testing::ValuesIn(test::all_paths(test::session_fabric_paths())),
                                          testing::Values(1, 2, 4)),
                         [](const auto& info) {
                           return fmt::format("{}{}", std::get<0>(info.param).name, std::get<1>(info.param));
                         });

TEST_P(SessionTest, AllLanesTogetherKeepToTheBandwidth) {
  constexpr uint64_t kBandwidth = 8'000'000;
  establish(2, kBandwidth);
  auto main = source_->open_channel(ChannelKind::main);
  const auto start = std::chrono::steady_clock::now();
  const auto bytes = test::noise(64 * 1024, 1);
  const auto send = [&](int records) {
    for (int i = 0; i < records; ++i) {
      for (size_t taken = 0; taken < bytes.size();) taken += main->take_room(bytes.size() - taken, true);
      main->record(bytes, 0, 0, bytes.size());
    }
  };
  send(64);
  source_->set_bandwidth(0);
  send(320);
  main->close(false);
  expect_good_end();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  // The last frames that fit the window may have been sent without a limit.
  EXPECT_GT(took.count(), 32 * 64 * 1024.0 / kBandwidth);
  EXPECT_EQ(far_end_->log(0).size(), 64u + 320 + 1);
}

TEST_P(SessionTest, TheWayBackArrivesInOrder) {
  establish(2);
  auto main = source_->open_channel(ChannelKind::main);
  far_end_->send_back(0, "one ");
  far_end_->send_back(0, "two ");
  far_end_->send_back(7, "other");
  far_end_->close_back(0, true);
  EXPECT_TRUE(back_.wait(0, "one two <closed>"));
  EXPECT_TRUE(back_.wait(7, "other"));
  main->close(false);
  expect_good_end();
}

TEST_P(SessionTest, EachDirectionEndsOnItsOwn) {
  establish(1);
  auto main = source_->open_channel(ChannelKind::main);
  record(*main, "all");
  main->close(false);
  ASSERT_TRUE(far_end_->wait_log(0, 2));
  EXPECT_EQ(far_end_->log(0), (Log{"rall", "c"}));
  far_end_->send_back(0, "still here");
  EXPECT_TRUE(back_.wait(0, "still here"));
  expect_good_end();
}

TEST_P(SessionTest, AnUrgentChannelDoesNotWaitForPages) {
  establish(1);
  auto main = source_->open_channel(ChannelKind::main);
  main->blocks(test::model_blocks({8}));
  Slot slot = source_->take_slot();
  PageBatch batch;
  batch.page_size = kModelPage;
  batch.add(0, 1, slot.get());
  ASSERT_EQ(main->take_room(kModelPage, true), kModelPage);
  main->pages(batch, slot, kModelPage);  // has to wait: the destination is not ready
  record(*main, "behind");
  auto urgent = source_->open_channel(ChannelKind::urgent);
  EXPECT_EQ(urgent->number(), 1);
  for (const char* text : {"a", "b", "c"}) record(*urgent, text);
  urgent->close(false);
  ASSERT_TRUE(far_end_->wait_log(1, 4));
  EXPECT_EQ(far_end_->log(1), (Log{"ra", "rb", "rc", "c"}));
  EXPECT_EQ(far_end_->kind(1), ChannelKind::urgent);
  EXPECT_TRUE(far_end_->log(0).empty());
  far_end_->ready();
  main->close(false);
  expect_good_end();
}

TEST_P(SessionTest, ADiskHasRoomOfItsOwnAndBothDirections) {
  establish(2);
  auto main = source_->open_channel(ChannelKind::main);
  while (main->take_room(kSlotBytes, false) > 0) {
  }
  auto disk = source_->open_channel(ChannelKind::disk);
  record(*disk, "write");
  ASSERT_TRUE(far_end_->wait_log(1, 1));
  EXPECT_EQ(far_end_->kind(1), ChannelKind::disk);
  far_end_->send_back(1, "written");
  EXPECT_TRUE(back_.wait(1, "written"));
  disk->close(false);
  ASSERT_TRUE(far_end_->wait_log(1, 2));
  far_end_->send_back(1, " still");
  far_end_->close_back(1, true);
  EXPECT_TRUE(back_.wait(1, "written still<closed>"));
  main->close(false);
  expect_good_end();
  EXPECT_EQ(source_->totals().disk_bytes, 5u);
  EXPECT_EQ(source_->totals().guest_bytes, 0u);
}

TEST_P(SessionTest, AnErrorAtTheDestinationReachesTheSource) {
  establish(2);
  auto main = source_->open_channel(ChannelKind::main);
  far_end_->fail("the disk is full");
  main->close(false);
  EXPECT_ERROR(source_->finish(json::object()), "the disk is full");
  EXPECT_ERROR(far_end_->finish(), "the disk is full");
  EXPECT_FALSE(source_->take_slot()) << "everything of the session ends";
  EXPECT_EQ(main->take_room(1, true), 0u);
}

TEST_P(SessionTest, AnErrorAtTheSourceReachesTheDestination) {
  establish(2);
  auto main = source_->open_channel(ChannelKind::main);
  failure_.fail({"the guest crashed"});
  EXPECT_ERROR(far_end_->finish(), "the guest crashed");
  EXPECT_ERROR(source_->finish(json::object()), "the guest crashed");
}

TEST_P(SessionTest, AnAbandonedSourceEndsTheDestination) {
  establish(2);
  source_.reset();
  EXPECT_FALSE(far_end_->finish());
}

}  // namespace
}  // namespace wherry
