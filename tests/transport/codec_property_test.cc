// A guest that changes at random, sent by a source session to a destination session over real sockets:
// however its pages are encoded, and over whichever lanes they come, the destination ends with the source's
// memory.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <thread>

#include "tests/transport/destination/model_site.h"
#include "tests/transport/far_end.h"
#include "tests/transport/path.h"
#include "tests/transport/support.h"
#include "transport/source/source_session.h"

namespace wherry {
namespace {

using nlohmann::json;
using test::kModelPage;
using Mode = Compression::Mode;
using Bytes = std::vector<uint8_t>;

constexpr uint16_t kChannels = 3;
constexpr uint32_t kEpochs = 14;
// The last block is one that the destination does not place.
const std::vector<uint64_t> kPages = {1500, 100, 40};
constexpr uint16_t kRelayed = 2;

// Bytes for the hashes of four regions of pages; there are five. Nothing is left for copies.
constexpr uint64_t kFewRegions = 450'000;
// All five, and which page has which content, but no copies.
constexpr uint64_t kNoCopies = 523'500;

// Copies of a fifth of all pages, so that places change hands.
constexpr uint64_t kFewCopies = 400'000;

struct Setting {
  Mode mode = Mode::automatic;
  size_t lanes = 1;
  bool verify = false;
  std::optional<uint64_t> history{};
  bool spoil = false;  // what the destination holds is damaged between epochs
  bool relay = false;  // the destination passes all pages on to the VMM
};

std::string name_of(const testing::TestParamInfo<std::tuple<test::Path, Setting>>& info) {
  const auto& [path, setting] = info.param;
  const char* const modes[] = {"automatic", "off", "zstd", "delta", "deltaZstd"};
  std::string name = modes[static_cast<int>(setting.mode)];
  name = fmt::format("{}_{}Lanes{}", path.name, name, setting.lanes);
  if (setting.verify) name += "Verify";
  if (setting.history) name += fmt::format("History{}", *setting.history);
  if (setting.spoil) name += "Spoil";
  if (setting.relay) name += "Relay";
  return name;
}

class CodecProperty : public testing::TestWithParam<std::tuple<test::Path, Setting>> {
 protected:
  CodecProperty()
      : path_(std::get<0>(GetParam())),
        setting_(std::get<1>(GetParam())),
        random_(setting_.lanes * 100 + static_cast<uint32_t>(setting_.mode)) {}

  void SetUp() override {
    far_end_.emplace(
        path_, test::FarEndSetup{
                   .direct = !setting_.relay, .by_iovec = setting_.lanes % 2 != 0, .relayed = {kRelayed}});
    SourceSession::Options options;
    options.peers = {far_end_->where()};
    options.lanes = setting_.lanes;
    options.fabric = path_.fabric;
    options.compression.mode = setting_.mode;
    options.compression.verify = setting_.verify;
    options.compression.history = setting_.history;
    auto source = SourceSession::connect(options, {}, failure_);
    ASSERT_TRUE(source) << source.error().message;
    source_ = std::move(*source);
    ASSERT_TRUE(far_end_->start());
    far_end_->ready();
    for (uint16_t i = 0; i < kChannels; ++i) {
      channels_.push_back(source_->open_channel(i == 0 ? ChannelKind::main : ChannelKind::data));
    }
    channels_[0]->blocks(test::model_blocks(kPages));
    for (uint16_t block = 0; block < kPages.size(); ++block)
      guest_.emplace_back(kPages[block], Bytes(kModelPage, 0xee));
    // The destination says what it can read before it acknowledges what follows the blocks.
    ASSERT_EQ(channels_[0]->take_room(1, true), 1u);
    channels_[0]->record(Bytes{1}, 0, 0, 1);
    while (source_->totals().window.in_flight > 0 && !failed())
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ASSERT_FALSE(failed());
  }

  bool failed() const { return failure_.failed(); }
  uint32_t draw(size_t below) { return static_cast<uint32_t>(random_() % below); }

  void change(Bytes& page) {
    switch (draw(10)) {
      case 0:
        page.assign(kModelPage, 0);
        break;
      case 1:
        page = test::noise(kModelPage, draw(1u << 30));
        break;
      case 2: {
        const std::string text = fmt::format("page {} of a guest that writes text. ", draw(1000));
        for (size_t i = 0; i < kModelPage; ++i) page[i] = static_cast<uint8_t>(text[i % text.size()]);
        break;
      }
      case 3:  // written, but not changed
        break;
      case 4:  // moved, or read from the same file
        page = guest_[draw(2)][draw(kPages[1])];
        break;
      default:
        for (uint32_t i = draw(6) + 1; i > 0; --i) page[draw(kModelPage)] = static_cast<uint8_t>(draw(256));
    }
  }

  // One epoch in which some pages, or all, are sent, each by a channel that is drawn.
  void send_epoch(bool all) {
    std::vector<std::pair<uint16_t, uint64_t>> pages;
    for (uint16_t block = 0; block < kPages.size(); ++block) {
      const uint32_t one_in = 1 + draw(8);
      for (uint64_t page = 0; page < kPages[block]; ++page) {
        if (all || draw(one_in) == 0) pages.emplace_back(block, page);
      }
    }
    // Mostly in order, as guests are scanned.
    for (size_t i = draw(20); i < pages.size(); i += 1 + draw(40))
      std::swap(pages[i], pages[draw(pages.size())]);
    std::vector<PageBatch> batches(kChannels);
    std::vector<Slot> slots(kChannels);
    const auto flush = [&](uint16_t number) {
      PageBatch& batch = batches[number];
      if (batch.empty()) return;
      const size_t charge = batch.data.size() * kModelPage;
      for (size_t taken = 0; taken < charge && !failed();)
        taken += channels_[number]->take_room(charge - taken, true);
      channels_[number]->pages(std::move(batch), std::move(slots[number]), charge);
      batch = {};
    };
    uint16_t number = 0;
    for (const auto& [block, index] : pages) {
      Bytes& page = guest_[block][index];
      change(page);
      if (draw(16) == 0) number = static_cast<uint16_t>(draw(kChannels));
      // Relayed pages are put in order by the VMM, which has one channel for each.
      const bool relayed = block == kRelayed || setting_.relay;
      const auto by = static_cast<uint16_t>(relayed ? index % kChannels : number);
      PageBatch& batch = batches[by];
      if (!batch.empty() && (!batch.has_room() || draw(60) == 0)) flush(by);
      if (batch.empty()) {
        batch.page_size = kModelPage;
        slots[by] = source_->take_slot();
        if (!slots[by]) return;
      }
      const bool zero = std::all_of(page.begin(), page.end(), [](uint8_t byte) { return byte == 0; });
      uint8_t* at = nullptr;
      if (!zero || draw(2)) {  // else it is left to Wherry to find out
        at = slots[by].get() + batch.data.size() * kModelPage;
        std::copy(page.begin(), page.end(), at);
      }
      batch.add(block, index, at);
      ++pages_sent_;
    }
    for (uint16_t i = 0; i < kChannels; ++i) {
      flush(i);
      ASSERT_EQ(channels_[i]->take_room(1, true), 1u);
      channels_[i]->record(Bytes{2}, kEpochEnd, kChannels, 1);
    }
    ++epochs_;
  }

  void settle() {
    for (uint16_t i = 0; i < kChannels; ++i) ASSERT_TRUE(far_end_->wait_epochs(i, epochs_));
  }

  void expect_memory() {
    for (uint16_t block = 0; block < kPages.size(); ++block) {
      const std::vector<Bytes> pages = far_end_->pages(block);
      for (uint64_t page = 0; page < kPages[block]; ++page) {
        ASSERT_EQ(pages[page], guest_[block][page]) << block << ":" << page;
      }
    }
  }

  test::Watchdog watchdog_{"a guest that changes"};
  const test::Path path_;
  const Setting setting_;
  std::mt19937 random_;
  std::optional<test::FarEnd> far_end_;
  Failure failure_;
  std::unique_ptr<SourceSession> source_;
  std::vector<std::unique_ptr<SourceChannel>> channels_;
  std::vector<std::vector<Bytes>> guest_;
  uint32_t epochs_ = 0;
  uint64_t pages_sent_ = 0;
};

TEST_P(CodecProperty, TheDestinationEndsWithTheSourcesMemory) {
  const Setting& setting = setting_;
  for (uint32_t epoch = 0; epoch < kEpochs; ++epoch) {
    // At first and at last every page is sent: what is damaged in between is repaired.
    ASSERT_NO_FATAL_FAILURE(send_epoch(epoch == 0 || epoch == kEpochs - 1));
    if (failed()) break;
    if (setting.spoil && epoch < kEpochs - 1) {
      ASSERT_NO_FATAL_FAILURE(settle());
      for (int i = 0; i < 30; ++i) {
        const auto block = static_cast<uint16_t>(draw(2));
        far_end_->spoil(block, draw(kPages[block]), draw(kModelPage));
      }
    } else if (epoch == kEpochs / 2) {
      ASSERT_NO_FATAL_FAILURE(settle());
      ASSERT_NO_FATAL_FAILURE(expect_memory());
    }
  }
  for (auto& channel : channels_) channel->close(false);
  auto theirs = source_->finish(json::object());
  ASSERT_TRUE(theirs) << theirs.error().message;
  auto ours = far_end_->finish();
  ASSERT_TRUE(ours) << ours.error().message;
  expect_memory();

  const SourceSession::Totals totals = source_->totals();
  const PageCounts& pages = totals.pages;
  EXPECT_EQ(pages.zero + pages.same + pages.delta + pages.zstd + pages.raw, pages_sent_);
  EXPECT_EQ(totals.guest_bytes, pages_sent_ * kModelPage);
  EXPECT_EQ(totals.window.in_flight, 0u);
  if (setting.mode == Mode::zstd || setting.mode == Mode::off || setting.history == 0u) {
    EXPECT_EQ(pages.delta, 0u);
    EXPECT_EQ(pages.same, 0u);
  }
  if (setting.mode == Mode::delta || setting.mode == Mode::off) {
    EXPECT_EQ(pages.zstd, 0u);
  }
  if (setting.mode == Mode::zstd || setting.mode == Mode::delta_zstd) {
    EXPECT_GT(pages.zstd, 0u);
  }
  if ((setting.mode == Mode::delta || setting.mode == Mode::delta_zstd) && setting.history != 0u) {
    EXPECT_GT(pages.delta, pages_sent_ / (setting.history == kFewCopies ? 32 : 8));
    // Where the budget is not enough for all hashes, there is no index of contents.
    EXPECT_EQ(pages.same > 0, setting.history != kFewRegions && !setting.relay);
  }
  if (setting.history.value_or(0) > 0) {
    EXPECT_LE(totals.history_bytes, *setting.history);
  }
  if (setting.spoil) {
    EXPECT_GT(far_end_->asked_again(), 0u);
  } else {
    // A page that another refers to may be sent anew in the same epoch, and land first. Of a page that is
    // sent twice in an epoch, the second version may.
    EXPECT_LE(far_end_->asked_again(), pages.same + 2 * 8 * kEpochs);
  }
}

std::vector<Setting> settings() {
  std::vector<Setting> all;
  for (const Mode mode : {Mode::automatic, Mode::zstd, Mode::delta, Mode::delta_zstd}) {
    for (size_t lanes = 1; lanes <= 4; ++lanes) all.push_back({mode, lanes, lanes % 2 == 0});
  }
  all.push_back({Mode::off, 2, true});
  for (const uint64_t history : {uint64_t{0}, kFewRegions}) {
    for (const Mode mode : {Mode::automatic, Mode::delta, Mode::delta_zstd})
      all.push_back({mode, 3, true, history});
  }
  // Full copies would be taken for what the destination holds: only changed lines tell.
  for (const Mode mode : {Mode::delta, Mode::delta_zstd}) {
    for (const size_t lanes : {size_t{1}, size_t{4}})
      all.push_back({mode, lanes, lanes == 4, kNoCopies, true});
  }
  for (const Mode mode : {Mode::automatic, Mode::delta, Mode::delta_zstd}) {
    for (const size_t lanes : {size_t{1}, size_t{4}}) {
      all.push_back({mode, lanes, true, std::nullopt, false, true});
      all.push_back({mode, lanes, true, kFewCopies, false, true});
    }
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Settings, CodecProperty,
                         testing::Combine(testing::Values(test::Path{"tcp"}), testing::ValuesIn(settings())),
                         name_of);
INSTANTIATE_TEST_SUITE_P(
    FabricSettings, CodecProperty,
    testing::Combine(testing::ValuesIn(test::session_fabric_paths()),
                     testing::Values(Setting{Mode::off, 1}, Setting{Mode::off, 2},
                                     Setting{Mode::automatic, 3}, Setting{Mode::delta_zstd, 4, true},
                                     Setting{Mode::automatic, 3, false, {}, false, true})),
    name_of);

}  // namespace
}  // namespace wherry
