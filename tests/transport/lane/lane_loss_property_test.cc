// A guest that changes at random is sent over lanes that die at random; one at least survives. The
// destination ends with the source's memory, and the records of each channel come once and in order.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <thread>

#include "tests/transport/cutting_proxy.h"
#include "tests/transport/destination/model_site.h"
#include "tests/transport/far_end.h"
#include "tests/transport/path.h"
#include "tests/transport/support.h"
#include "transport/source/source_session.h"

namespace wherry {
namespace {

using nlohmann::json;
using test::CuttingProxy;
using test::kModelPage;
using Bytes = std::vector<uint8_t>;
using Log = test::ModelSite::Log;

constexpr uint16_t kLossChannels = 3;
constexpr uint32_t kLossEpochs = 6;
// The last block is one that the destination does not place.
const std::vector<uint64_t> kLossPages = {160, 40, 12};
constexpr uint16_t kLossRelayed = 2;

class LaneLoss : public testing::TestWithParam<std::tuple<test::Path, uint32_t>> {
 protected:
  LaneLoss()
      : path_(std::get<0>(GetParam())),
        random_(std::get<1>(GetParam())),
        lanes_(2 + draw(3)),
        relay_(draw(3) == 0) {}

  void SetUp() override {
    test::FarEndSetup setup{.direct = !relay_, .by_iovec = draw(3) > 0, .relayed = {kLossRelayed}};
    auto& fates = setup.fates;
    const size_t spared = draw(lanes_);
    for (size_t lane = 0; lane < lanes_; ++lane) {
      if (lane == spared || draw(4) == 0) continue;
      const uint64_t bytes = draw(size_t{1} << draw(19));
      fates[lane] = {bytes, static_cast<CuttingProxy::Cut>(draw(3)), draw(2) == 0};
      // The proxy does not see what goes over a fabric.
      if (!path_.is_fabric()) continue;
      fates[lane].bytes = std::numeric_limits<uint64_t>::max();
      cuts_[draw(kLossEpochs)].push_back(lane);
    }
    far_end_.emplace(path_, setup);
    using Mode = Compression::Mode;
    const Mode modes[] = {Mode::off, Mode::off, Mode::delta, Mode::delta_zstd, Mode::automatic};
    SourceSession::Options options;
    options.peers = {far_end_->where()};
    options.lanes = lanes_;
    options.fabric = path_.fabric;
    options.compression.mode = modes[draw(std::size(modes))];
    options.compression.verify = draw(2);
    auto source = SourceSession::connect(options, {}, failure_);
    ASSERT_TRUE(source) << source.error().message;
    source_ = std::move(*source);
    ASSERT_TRUE(far_end_->start());
    for (uint16_t block = 0; block < kLossPages.size(); ++block)
      guest_.emplace_back(kLossPages[block], Bytes(kModelPage, 0xee));
  }

  uint32_t draw(size_t below) { return static_cast<uint32_t>(random_() % below); }

  void change(Bytes& page) {
    switch (draw(8)) {
      case 0:
        page.assign(kModelPage, 0);
        break;
      case 1:
      case 2:
        page = test::noise(kModelPage, draw(1u << 30));
        break;
      case 3:
        page = guest_[draw(2)][draw(kLossPages[1])];
        break;
      default:
        for (uint32_t i = draw(6) + 1; i > 0; --i) page[draw(kModelPage)] = static_cast<uint8_t>(draw(256));
    }
  }

  void send_epoch(uint32_t epoch) {
    for (const size_t lane : cuts_[epoch]) far_end_->cut(lane);
    std::vector<PageBatch> batches(kLossChannels);
    std::vector<Slot> slots(kLossChannels);
    const auto flush = [&](uint16_t number) {
      PageBatch& batch = batches[number];
      if (batch.empty()) return;
      const size_t charge = batch.data.size() * kModelPage;
      for (size_t taken = 0; taken < charge && !failure_.failed();)
        taken += channels_[number]->take_room(charge - taken, true);
      channels_[number]->pages(std::move(batch), std::move(slots[number]), charge);
      batch = {};
    };
    const uint32_t one_in = 1 + draw(3);
    uint16_t number = 0;
    for (uint16_t block = 0; block < kLossPages.size(); ++block) {
      for (uint64_t index = 0; index < kLossPages[block]; ++index) {
        if (draw(one_in) > 0) continue;
        Bytes& page = guest_[block][index];
        change(page);
        if (draw(8) == 0) number = static_cast<uint16_t>(draw(kLossChannels));
        // Relayed pages are put in order by the VMM, which has one channel for each.
        const auto by =
            static_cast<uint16_t>(relay_ || block == kLossRelayed ? index % kLossChannels : number);
        PageBatch& batch = batches[by];
        if (draw(12) == 0) flush(by);
        if (batch.empty()) {
          batch.page_size = kModelPage;
          slots[by] = source_->take_slot();
          if (!slots[by]) return;
        }
        uint8_t* at = slots[by].get() + batch.data.size() * kModelPage;
        std::copy(page.begin(), page.end(), at);
        batch.add(block, index, at);
      }
    }
    for (uint16_t i = 0; i < kLossChannels; ++i) {
      flush(i);
      record(i, fmt::format("channel {} epoch {}", i, epoch), kEpochEnd);
    }
  }

  void record(uint16_t channel, const std::string& text, uint16_t flags = 0) {
    channels_[channel]->record(test::bytes_of(text), flags, kLossChannels, 0);
    expected_[channel].push_back("r" + text);
  }

  test::Watchdog watchdog_{"a guest over lanes that die"};
  const test::Path path_;
  std::mt19937 random_;
  const size_t lanes_;
  const bool relay_;
  std::optional<test::FarEnd> far_end_;
  std::array<std::vector<size_t>, kLossEpochs> cuts_;  // lanes over a fabric that die in an epoch
  Failure failure_;
  std::unique_ptr<SourceSession> source_;
  std::vector<std::unique_ptr<SourceChannel>> channels_;
  std::vector<std::vector<Bytes>> guest_;
  std::array<Log, kLossChannels> expected_;
};

TEST_P(LaneLoss, NothingIsLostAndNothingComesTwice) {
  const uint32_t ready = draw(kLossEpochs);
  for (uint16_t i = 0; i < kLossChannels; ++i)
    channels_.push_back(source_->open_channel(i == 0 ? ChannelKind::main : ChannelKind::data));
  channels_[0]->blocks(test::model_blocks(kLossPages));
  for (uint32_t epoch = 0; epoch < kLossEpochs; ++epoch) {
    if (epoch == ready) far_end_->ready();
    for (uint32_t i = draw(4); i > 0; --i)
      record(static_cast<uint16_t>(draw(kLossChannels)), std::string(draw(3000), static_cast<char>('a' + i)));
    send_epoch(epoch);
  }
  for (uint16_t i = 0; i < kLossChannels; ++i) {
    channels_[i]->close(false);
    expected_[i].push_back("c");
  }
  auto theirs = source_->finish(json::object());
  ASSERT_TRUE(theirs) << theirs.error().message;
  auto ours = far_end_->finish();
  ASSERT_TRUE(ours) << ours.error().message;

  for (uint16_t block = 0; block < kLossPages.size(); ++block) {
    const std::vector<Bytes> pages = far_end_->pages(block);
    for (uint64_t page = 0; page < kLossPages[block]; ++page) {
      ASSERT_EQ(pages[page], guest_[block][page]) << block << ":" << page;
    }
  }
  for (uint16_t i = 0; i < kLossChannels; ++i) {
    Log log = far_end_->log(i);
    std::erase_if(log, [](const std::string& entry) { return entry[0] != 'r' && entry[0] != 'c'; });
    EXPECT_EQ(log, expected_[i]);
  }
  const SourceSession::Totals totals = source_->totals();
  EXPECT_EQ(totals.window.in_flight, 0u);
  const auto lost = std::count_if(totals.lanes.begin(), totals.lanes.end(),
                                  [](const auto& lane) { return !lane.lost.empty(); });
  EXPECT_LE(static_cast<size_t>(lost), far_end_->cuts());  // one may have been cut after the end
}

std::string loss_name(const testing::TestParamInfo<LaneLoss::ParamType>& info) {
  return fmt::format("{}{}", std::get<0>(info.param).name, std::get<1>(info.param));
}

INSTANTIATE_TEST_SUITE_P(Seeds, LaneLoss,
                         testing::Combine(testing::Values(test::Path{"tcp"}), testing::Range(0u, 400u)),
                         loss_name);
INSTANTIATE_TEST_SUITE_P(FabricSeeds, LaneLoss,
                         testing::Combine(testing::ValuesIn(test::session_fabric_paths()),
                                          testing::Range(0u, 24u)),
                         loss_name);

}  // namespace
}  // namespace wherry
