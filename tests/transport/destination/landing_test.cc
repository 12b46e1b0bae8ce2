#include "transport/destination/landing.h"

#include <gtest/gtest.h>
#include <xxhash.h>

#include <deque>
#include <optional>
#include <random>
#include <set>
#include <thread>

#include "compression/line_delta.h"
#include "tests/transport/destination/model_site.h"
#include "tests/transport/support.h"

namespace wherry {
namespace {

using test::bytes_of;
using test::kModelPage;
using test::ModelSite;
using Log = ModelSite::Log;

// One channel's frames, numbered as a source numbers them.
class Script {
 public:
  Script(uint16_t channel, ChannelKind kind) : channel_(channel) {
    frames_.push_back(next({.type = FrameType::open, .aux = static_cast<uint32_t>(kind)}));
  }
  explicit Script(uint16_t channel) : Script(channel, channel == 0 ? ChannelKind::main : ChannelKind::data) {}

  Script& record(const std::string& text, uint16_t flags = 0, uint32_t aux = 0) {
    Arrival frame = next({.type = FrameType::record, .flags = flags, .aux = aux});
    frame.body = bytes_of(text);
    frames_.push_back(std::move(frame));
    if (flags & kEpochEnd) ++epoch_;
    return *this;
  }
  // A page of content that begins with the epoch; a zero page if `seed` is 0.
  Script& page(uint16_t block, uint64_t index, uint32_t seed) { return batch({{block, index, seed}}); }
  struct Page {
    uint16_t block;
    uint64_t index;
    uint32_t seed;
  };
  Script& batch(const std::vector<Page>& pages) {
    Arrival frame = next({.type = FrameType::batch});
    frame.pages.page_size = kModelPage;
    for (const Page& page : pages) {
      const uint8_t* bytes = nullptr;
      if (page.seed) {
        contents_.push_back(content(page.seed));
        bytes = contents_.back().data();
      }
      frame.pages.add(page.block, page.index, bytes);
    }
    frame.header.pages = frame.pages.page_count();
    frames_.push_back(std::move(frame));
    return *this;
  }
  // A page of which only the lines are sent in which `now` differs from `base`.
  Script& lines(uint16_t block, uint64_t index, const std::vector<uint8_t>& base,
                const std::vector<uint8_t>& now) {
    LineHashes hashes;
    hash_lines(base.data(), kModelPage, hashes);
    const uint64_t changed = changed_lines(now.data(), kModelPage, hashes);
    std::vector<uint8_t> said(lines_size(changed, kModelPage));
    put_lines(now.data(), kModelPage, changed, said.data());
    return told(PageKind::lines, block, index, said);
  }
  // A page that is to be kept at a place, or that is what is kept there but for one of its first 256 bytes.
  Script& keep(uint16_t block, uint64_t index, uint32_t place, const std::vector<uint8_t>& page) {
    std::vector<uint8_t> said = number(place, kPlaceBytes);
    said.insert(said.end(), page.begin(), page.end());
    return told(PageKind::keep, block, index, said);
  }
  Script& kept(uint16_t block, uint64_t index, uint32_t place, const std::vector<uint8_t>& now, uint8_t at) {
    std::vector<uint8_t> said = number(place, kPlaceBytes);
    for (const uint8_t byte : number(XXH3_64bits(now.data(), now.size()), kSumBytes)) said.push_back(byte);
    for (const uint8_t byte : {uint8_t{4}, uint8_t{0}, at, uint8_t{0}, uint8_t{0}, now[at]})
      said.push_back(byte);
    return told(PageKind::kept, block, index, said);
  }
  // What a source sends when it is asked again for that frame.
  Arrival whole(size_t frame, const std::vector<uint8_t>& now) {
    contents_.push_back(now);
    Arrival again;
    again.header = frames_[frame].header;
    again.pages.page_size = kModelPage;
    const PageRun& run = frames_[frame].pages.runs.front();
    again.pages.add(run.block, run.first, contents_.back().data());
    return again;
  }
  Script& close() {
    frames_.push_back(next({.type = FrameType::close}));
    return *this;
  }
  Script& frame(FrameHeader header) {
    frames_.push_back(next(header));
    return *this;
  }
  std::vector<uint8_t> content(uint32_t seed) const {
    auto bytes = test::noise(kModelPage, seed);
    bytes[0] = static_cast<uint8_t>(epoch_);
    return bytes;
  }
  uint32_t epoch() const { return epoch_; }
  std::vector<Arrival>& frames() { return frames_; }

 private:
  static std::vector<uint8_t> number(uint64_t value, size_t bytes) {
    std::vector<uint8_t> said(bytes);
    for (size_t i = 0; i < bytes; ++i) said[i] = static_cast<uint8_t>(value >> (8 * i));
    return said;
  }
  // A page of which something else is sent than what it is.
  Script& told(PageKind kind, uint16_t block, uint64_t index, std::vector<uint8_t> said) {
    contents_.push_back(std::move(said));
    Arrival frame = next({.type = FrameType::batch, .pages = 1});
    frame.pages.page_size = kModelPage;
    frame.pages.add_run({block, kind, 1, index});
    frame.pages.data = {contents_.back().data()};
    frames_.push_back(std::move(frame));
    return *this;
  }

  Arrival next(FrameHeader header) {
    header.channel = channel_;
    header.epoch = epoch_;
    header.sequence = sequence_++;
    Arrival arrival;
    arrival.header = header;
    return arrival;
  }

  const uint16_t channel_;
  uint32_t epoch_ = 0;
  uint64_t sequence_ = 0;
  std::vector<Arrival> frames_;
  std::deque<std::vector<uint8_t>> contents_;  // the memory behind the pages
};

class LandingTest : public testing::Test {
 protected:
  void SetUp() override {
    landing_.emplace(
        site_, [this](uint16_t channel, uint64_t sequence) { return acknowledge(channel, sequence); },
        [this](uint16_t channel, uint64_t sequence) { return ask_again(channel, sequence); }, failure_);
  }
  void TearDown() override {
    if (landing_ && !landing_->all_closed()) failure_.fail({"the test is over"});
    landing_.reset();
  }

  Result<> acknowledge(uint16_t channel, uint64_t sequence) {
    std::lock_guard lock(mutex_);
    if (!acknowledged_.emplace(channel, sequence).second) return fail("acknowledged twice");
    changed_.notify_all();
    return {};
  }
  Result<> ask_again(uint16_t channel, uint64_t sequence) {
    std::lock_guard lock(mutex_);
    asked_again_.emplace_back(channel, sequence);
    changed_.notify_all();
    return {};
  }
  using Asked = std::vector<std::pair<uint16_t, uint64_t>>;
  // What was asked for again once there are that many.
  Asked wait_asked_again(size_t frames) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, test::kForever,
                      [&] { return asked_again_.size() >= frames || failure_.failed(); });
    return asked_again_;
  }
  bool acknowledged(uint16_t channel, uint64_t sequence) {
    std::lock_guard lock(mutex_);
    return acknowledged_.contains({channel, sequence});
  }
  bool wait_acknowledged(size_t frames) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, test::kForever, [&] {
      return acknowledged_.size() >= frames || failure_.failed();
    }) && !failure_.failed();
  }
  // The error that the landing ends with.
  std::string wait_failure() {
    auto told = failure_.on_fail([this] {
      std::lock_guard lock(mutex_);
      changed_.notify_all();
    });
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, test::kForever, [&] { return failure_.failed(); });
    return failure_.failed() ? failure_.first()->message : "no failure";
  }

  // What a session's lane does with a frame.
  Result<> arrive(const Arrival& frame) {
    auto claimed = landing_->claim(frame.header);
    if (!claimed) return pass_on(claimed);
    if (!*claimed) return {};
    Arrival arrival{.header = frame.header, .pages = frame.pages, .body = frame.body, .slot = {}};
    if (frame.header.type == FrameType::batch) {
      if (Placement* placement = landing_->open_placement(frame.header, frame.pages)) {
        std::vector<uint8_t> scratch;
        auto placed = landing_->place(*placement, frame.header, arrival.pages, scratch);
        if (!placed) return pass_on(placed);
        if (!*placed) return {};
        arrival.pages = {};
        arrival.placed = true;
      }
    }
    return landing_->arrive(std::move(arrival));
  }
  void arrive_all(Script& script) {
    for (const Arrival& frame : script.frames()) {
      auto arrived = arrive(frame);
      ASSERT_TRUE(arrived) << arrived.error().message;
    }
  }
  void begin(std::vector<uint64_t> pages, bool ready = true) {
    ASSERT_TRUE(landing_->blocks(test::model_blocks(std::move(pages))));
    if (ready) landing_->ready();
  }

  ModelSite site_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::pair<uint16_t, uint64_t>> acknowledged_;
  Asked asked_again_;
  Failure failure_;
  std::optional<Landing> landing_;
};

TEST_F(LandingTest, WritesAChannelInItsOrderHoweverItArrives) {
  Script main(0);
  main.record("a").record("b").record("c").close();
  auto& frames = main.frames();
  for (size_t i : {4, 2, 3, 1}) ASSERT_TRUE(arrive(frames[i]));
  EXPECT_FALSE(site_.opened(0));
  ASSERT_TRUE(arrive(frames[0]));
  ASSERT_TRUE(wait_acknowledged(5));
  EXPECT_EQ(site_.log(0), (Log{"ra", "rb", "rc", "c"}));
  EXPECT_TRUE(landing_->all_closed());
}

TEST_F(LandingTest, WaitsForTheFrameThatIsMissing) {
  Script main(0);
  main.record("a").record("b").record("c").close();
  auto& frames = main.frames();
  for (size_t i : {0, 1, 3, 4}) ASSERT_TRUE(arrive(frames[i]));
  ASSERT_TRUE(wait_acknowledged(2));
  EXPECT_EQ(site_.log(0), (Log{"ra"}));
  EXPECT_FALSE(acknowledged(0, 3));
  EXPECT_FALSE(landing_->all_closed());
  ASSERT_TRUE(arrive(frames[2]));
  ASSERT_TRUE(wait_acknowledged(5));
  EXPECT_EQ(site_.log(0), (Log{"ra", "rb", "rc", "c"}));
}

TEST_F(LandingTest, PlacesPagesAtOnceWhenTheirEpochIsOpen) {
  begin({4});
  Script main(0);
  main.page(0, 2, 7);
  ASSERT_TRUE(arrive(main.frames()[1]));
  EXPECT_EQ(site_.page(0, 2), main.content(7)) << "even ahead of the channel's order";
  EXPECT_TRUE(acknowledged(0, 1));
  EXPECT_EQ(landing_->totals().placed_pages, 1u);
}

TEST_F(LandingTest, PlacesNothingBeforeTheDestinationIsReady) {
  begin({4}, false);
  Script main(0);
  main.record("a").page(0, 2, 7).record("b").close();
  arrive_all(main);
  ASSERT_TRUE(wait_acknowledged(2));
  EXPECT_FALSE(acknowledged(0, 2));
  EXPECT_EQ(site_.page(0, 2), std::vector<uint8_t>(kModelPage, 0xee));
  landing_->ready();
  ASSERT_TRUE(wait_acknowledged(5));
  EXPECT_EQ(site_.page(0, 2), main.content(7));
  EXPECT_EQ(site_.log(0), (Log{"ra", "p 0:2", "rb", "c"}));
}

std::vector<uint8_t> with_byte(std::vector<uint8_t> page, size_t at, uint8_t value) {
  page[at] = value;
  return page;
}

class ChangedLines : public LandingTest, public testing::WithParamInterface<bool> {};

TEST_P(ChangedLines, AreAppliedToWhatIsThere) {
  site_.by_iovec = GetParam();
  begin({4});
  Script main(0);
  const auto first = main.content(7);
  const auto second = with_byte(first, 500, 1);
  const auto third = with_byte(second, 999, 2);
  main.page(0, 2, 7).record("a", kEpochEnd, 1).lines(0, 2, first, second).record("b", kEpochEnd, 1);
  main.lines(0, 2, second, third).close();
  arrive_all(main);
  ASSERT_TRUE(wait_acknowledged(7));
  EXPECT_EQ(site_.page(0, 2), third);
  EXPECT_EQ(landing_->totals().placed_pages, 3u);
  EXPECT_TRUE(asked_again_.empty());
}

INSTANTIATE_TEST_SUITE_P(WhetherMemoryIsMapped, ChangedLines, testing::Bool());

TEST_F(LandingTest, ABatchThatLandsAtOnceOnAnotherBaseIsAskedForAgain) {
  begin({4});
  Script main(0);
  const auto now = with_byte(main.content(7), 500, 1);
  main.lines(0, 2, main.content(7), now).record("behind").close();
  arrive_all(main);
  EXPECT_EQ(wait_asked_again(1), (Asked{{0, 1}}));
  EXPECT_EQ(site_.page(0, 2), std::vector<uint8_t>(kModelPage, 0xee)) << "as it was";
  EXPECT_FALSE(acknowledged(0, 1));
  EXPECT_EQ(landing_->totals().placed_pages, 0u);
  ASSERT_TRUE(arrive(main.whole(1, now)));
  ASSERT_TRUE(wait_acknowledged(4));
  EXPECT_EQ(site_.page(0, 2), now);
  EXPECT_EQ(site_.log(0), (Log{"rbehind", "c"}));
  EXPECT_EQ(landing_->totals().placed_pages, 1u);
  EXPECT_EQ(asked_again_.size(), 1u);
}

TEST_F(LandingTest, ABatchThatWaitedForItsEpochOnAnotherBaseIsAskedForAgain) {
  begin({4}, false);
  Script main(0);
  const auto now = with_byte(main.content(7), 500, 1);
  main.record("ahead").lines(0, 2, main.content(7), now).record("behind").close();
  arrive_all(main);
  ASSERT_TRUE(site_.wait_log(0, 1));
  landing_->ready();
  EXPECT_EQ(wait_asked_again(1), (Asked{{0, 2}}));
  EXPECT_FALSE(acknowledged(0, 2));
  EXPECT_EQ(site_.log(0), (Log{"rahead"})) << "what lies behind it waits";
  ASSERT_TRUE(arrive(main.whole(2, now)));
  ASSERT_TRUE(wait_acknowledged(5));
  EXPECT_EQ(site_.page(0, 2), now);
  EXPECT_EQ(site_.log(0).front(), "rahead");
  EXPECT_EQ(site_.log(0).back(), "c");
  EXPECT_EQ(asked_again_.size(), 1u);
}

// Another channel goes on unseen while a batch waits for its epoch: from then on the VMM gets all pages,
// which it must get whole.
TEST_F(LandingTest, ChangedLinesAreAskedForWholeWhenPagesAreNoLongerPlaced) {
  begin({4});
  Script main(0);
  const auto first = main.content(7);
  const auto now = with_byte(first, 500, 1);
  main.page(0, 2, 7).record("a", kEpochEnd, 9).lines(0, 2, first, now).record("b").close();
  arrive_all(main);
  ASSERT_TRUE(site_.wait_log(0, 1));
  Script data(1);
  data.record("x", kOpaque).close();
  arrive_all(data);
  EXPECT_EQ(wait_asked_again(1), (Asked{{0, 3}}));
  EXPECT_FALSE(acknowledged(0, 3));
  ASSERT_TRUE(arrive(main.whole(3, now)));
  ASSERT_TRUE(wait_acknowledged(9));
  EXPECT_EQ(site_.log(0), (Log{"ra", "w 0:2", "rb", "c"}));
  EXPECT_EQ(site_.page(0, 2), now);
}

TEST_F(LandingTest, ChangedLinesOfWhatIsNeverPlacedAreAnError) {
  site_.direct = false;
  begin({4});
  Script main(0);
  main.lines(0, 2, main.content(7), main.content(8));
  arrive_all(main);
  EXPECT_EQ(wait_failure(), "a batch refers to pages that are not held here");
}

TEST_F(LandingTest, ChangedLinesOfABlockThatThePlacementDoesNotTakeAreAnError) {
  site_.relayed = {1};
  begin({4, 4});
  Script main(0);
  main.lines(1, 2, main.content(7), main.content(8));
  arrive_all(main);
  EXPECT_EQ(wait_failure(), "the site cannot read block 1");
}

class WrongSum : public LandingTest, public testing::WithParamInterface<bool> {};

TEST_P(WrongSum, IsAnError) {
  site_.direct = GetParam();
  begin({4}, false);
  Script main(0);
  main.page(0, 2, 7);
  const std::vector<uint8_t> sum(8, 1);
  main.frames()[1].pages.sums = sum.data();
  arrive_all(main);
  landing_->ready();
  EXPECT_EQ(wait_failure(), "page 2 of RAM block number 0 is not what the source sent");
}

INSTANTIATE_TEST_SUITE_P(WhetherPlaced, WrongSum, testing::Bool());

TEST_F(LandingTest, NamesTheBlocksWhosePagesArePlaced) {
  site_.relayed = {1};
  begin({4, 4, 4});
  EXPECT_EQ(landing_->bases(), (nlohmann::json{{"blocks", {0, 2}}, {"copies", 0}}));
}

TEST_F(LandingTest, KeepsCopiesInsteadWithoutAPlacement) {
  site_.direct = false;
  begin({4, 4});
  const nlohmann::json bases = landing_->bases();
  EXPECT_EQ(bases["blocks"], nlohmann::json::array());
  EXPECT_GT(bases["copies"], 50'000);
  const Landing::Totals totals = landing_->totals();
  EXPECT_EQ(totals.copies_bytes, 0u) << "memory is taken as copies come";
  EXPECT_LE(totals.copies_budget, 8 * kModelPage / 16 + (64 << 20));
  EXPECT_GE(totals.copies_budget, 64 << 20);
}

TEST_F(LandingTest, RelaysWholePagesOfWhatChangedInItsCopies) {
  site_.direct = false;
  begin({4});
  Script main(0);
  const auto first = main.content(7);
  const auto second = with_byte(first, 200, 1);
  const auto third = with_byte(second, 9, 9);
  main.keep(0, 2, 5, first).record("a", kEpochEnd, 1).kept(0, 2, 5, second, 200).record("b", kEpochEnd, 1);
  main.kept(0, 2, 5, third, 9).close();
  arrive_all(main);
  ASSERT_TRUE(wait_acknowledged(7));
  EXPECT_EQ(site_.log(0), (Log{"w 0:2", "ra", "w 0:2", "rb", "w 0:2", "c"}));
  EXPECT_EQ(site_.page(0, 2), third);
  EXPECT_EQ(landing_->totals().relayed_pages, 3u);
  EXPECT_GE(landing_->totals().copies_bytes, kModelPage);
}

// The page was kept by another channel, or its place was another page's.
TEST_F(LandingTest, CopiesAreUsedInTheOrderOfEpochsThoughNothingIsPlaced) {
  site_.direct = false;
  begin({4});
  Script main(0);
  Script data(1);
  const auto first = data.content(7);
  const auto second = with_byte(first, 200, 1);
  main.record("a", kEpochEnd, 2).kept(0, 2, 5, second, 200).record("b").close();
  data.keep(0, 2, 5, first).record("x", kEpochEnd).close();
  arrive_all(main);
  ASSERT_TRUE(site_.wait_log(0, 1));
  EXPECT_FALSE(acknowledged(0, 2));
  arrive_all(data);
  ASSERT_TRUE(wait_acknowledged(9));
  EXPECT_EQ(site_.log(0), (Log{"ra", "w 0:2", "rb", "c"}));
  EXPECT_EQ(site_.page(0, 2), second);
}

TEST_F(LandingTest, CopiesAreAskedForWholeWhenEpochsHaveNoOrderAnyMore) {
  site_.direct = false;
  begin({4});
  Script main(0);
  Script data(1);
  const auto now = main.content(8);
  main.record("a", kEpochEnd, 2).kept(0, 2, 5, now, 200).record("b").close();
  data.record("x", kOpaque).close();
  arrive_all(main);
  arrive_all(data);
  EXPECT_EQ(wait_asked_again(1), (Asked{{0, 2}}));
  ASSERT_TRUE(arrive(main.whole(2, now)));
  ASSERT_TRUE(wait_acknowledged(8));
  EXPECT_EQ(site_.log(0), (Log{"ra", "w 0:2", "rb", "c"}));
  EXPECT_EQ(site_.page(0, 2), now);
}

// It can be what the source sends when it was asked for the batch once more.
TEST_F(LandingTest, APageToBeKeptIsJustAPageWhenEpochsHaveNoOrderAnyMore) {
  site_.direct = false;
  begin({4});
  Script main(0);
  Script data(1);
  data.record("x", kOpaque).close();
  arrive_all(data);
  ASSERT_TRUE(wait_acknowledged(3));
  const auto now = main.content(8);
  main.keep(0, 2, 5, now).close();
  arrive_all(main);
  ASSERT_TRUE(wait_acknowledged(6));
  EXPECT_EQ(site_.page(0, 2), now);
  EXPECT_EQ(landing_->totals().copies_bytes, 0u);
}

TEST_F(LandingTest, ACopyOfAnotherPageIsAskedForWhole) {
  site_.direct = false;
  begin({4});
  Script main(0);
  const auto now = main.content(8);
  main.keep(0, 2, 5, main.content(7)).record("a", kEpochEnd, 1).kept(0, 3, 5, now, 200).close();
  arrive_all(main);
  EXPECT_EQ(wait_asked_again(1), (Asked{{0, 3}}));
  ASSERT_TRUE(arrive(main.whole(3, now)));
  ASSERT_TRUE(wait_acknowledged(5));
  EXPECT_EQ(site_.page(0, 3), now);
}

TEST_F(LandingTest, ACopyWherePagesArePlacedIsAnError) {
  begin({4}, false);
  Script main(0);
  main.kept(0, 2, 5, main.content(7), 200);
  arrive_all(main);
  landing_->ready();
  EXPECT_EQ(wait_failure(), "a batch refers to pages that are not held here");
}

TEST_F(LandingTest, AZeroPageEndsAsZeros) {
  begin({4});
  Script main(0);
  main.page(0, 1, 0).close();
  arrive_all(main);
  ASSERT_TRUE(wait_acknowledged(3));
  EXPECT_EQ(site_.page(0, 1), std::vector<uint8_t>(kModelPage, 0));
}

TEST_F(LandingTest, ARecordIsWrittenOnlyBehindThePagesAheadOfIt) {
  begin({4}, false);
  Script main(0);
  Script data(1);
  main.record("start", kEpochEnd, 2).record("x").close();
  data.record("sync", kEpochEnd).page(0, 0, 5).record("behind the page").close();
  arrive_all(data);
  ASSERT_TRUE(site_.wait_log(1, 1));
  EXPECT_EQ(site_.log(1), (Log{"rsync"})) << "its second epoch is shut";
  landing_->ready();
  arrive_all(main);
  ASSERT_TRUE(wait_acknowledged(9));
  EXPECT_EQ(site_.log(1), (Log{"rsync", "p 0:0", "rbehind the page", "c"}));
}

TEST_F(LandingTest, ASlowChannelHoldsBackNoOther) {
  begin({4}, false);
  Script main(0);
  Script data(1);
  data.page(0, 0, 5).close();
  main.record("a").record("b").close();
  arrive_all(data);
  arrive_all(main);
  ASSERT_TRUE(site_.wait_log(0, 3));
  EXPECT_TRUE(site_.log(1).empty());
  landing_->ready();
  ASSERT_TRUE(wait_acknowledged(7));
}

TEST_F(LandingTest, RelaysEverythingWithoutAPlacement) {
  site_.direct = false;
  begin({4});
  Script main(0);
  main.record("a").batch({{0, 0, 5}, {0, 2, 0}}).record("b", kEpochEnd, 1).page(0, 0, 6).close();
  arrive_all(main);
  ASSERT_TRUE(wait_acknowledged(6));
  EXPECT_EQ(site_.log(0), (Log{"ra", "w 0:0 0:2", "rb", "w 0:0", "c"}));
  EXPECT_EQ(site_.page(0, 0), main.content(6));
  EXPECT_EQ(landing_->totals().relayed_pages, 3u);
  EXPECT_EQ(landing_->totals().placed_pages, 0u);
}

TEST_F(LandingTest, ABatchWithPagesThatThePlacementDoesNotTakeKeepsItsOrder) {
  site_.relayed = {1};
  begin({4, 4});
  Script main(0);
  main.record("a").batch({{1, 0, 5}}).record("b").batch({{0, 3, 6}}).close();
  auto& frames = main.frames();
  ASSERT_TRUE(arrive(frames[4]));
  EXPECT_TRUE(acknowledged(0, 4));
  ASSERT_TRUE(arrive(frames[2]));
  EXPECT_FALSE(acknowledged(0, 2)) << "it has to wait for its turn";
  for (size_t i : {0, 1, 3, 5}) ASSERT_TRUE(arrive(frames[i]));
  ASSERT_TRUE(wait_acknowledged(6));
  EXPECT_EQ(site_.log(0), (Log{"ra", "p 1:0", "rb", "c"}));
  EXPECT_EQ(site_.page(1, 0), main.content(5));
}

TEST_F(LandingTest, OpaqueBeforeAnyPageRelaysFromThenOn) {
  begin({4});
  Script main(0);
  Script data(1);
  data.record("x", kOpaque).record("y").close();
  main.record("a").page(0, 1, 5).record("b").close();
  arrive_all(data);
  ASSERT_TRUE(wait_acknowledged(4));
  EXPECT_TRUE(landing_->totals().withdrawn);
  arrive_all(main);
  ASSERT_TRUE(wait_acknowledged(9));
  EXPECT_EQ(site_.log(0), (Log{"ra", "w 0:1", "rb", "c"}));
  EXPECT_EQ(landing_->totals().relayed_pages, 1u);
}

TEST_F(LandingTest, OpaqueRelaysAlsoWhatIsWaitingForItsEpoch) {
  begin({4});
  Script main(0);
  main.record("a", kEpochEnd, 9).page(0, 1, 5).record("b").close();
  arrive_all(main);
  ASSERT_TRUE(site_.wait_log(0, 1));
  // Nothing of the second epoch can land: eight channels have not finished the first.
  Script data(1, ChannelKind::data);
  data.record("x", kOpaque).close();
  arrive_all(data);
  ASSERT_TRUE(wait_acknowledged(8));
  EXPECT_EQ(site_.log(0), (Log{"ra", "w 0:1", "rb", "c"}));
}

// A data channel's first packet can be opaque before the main channel has named the blocks.
TEST_F(LandingTest, OpaqueBeforeTheBlocksAreKnownRelaysToo) {
  Script data(1);
  data.record("x", kOpaque).close();
  arrive_all(data);
  ASSERT_TRUE(wait_acknowledged(3));
  begin({4});
  Script main(0);
  main.page(0, 1, 5).close();
  arrive_all(main);
  ASSERT_TRUE(wait_acknowledged(6));
  EXPECT_EQ(site_.log(0), (Log{"w 0:1", "c"}));
  EXPECT_EQ(landing_->totals().placed_pages, 0u);
}

TEST_F(LandingTest, OpaqueOfTheMainChannelAfterItsOwnPlacedPagesIsFineUnlessItRefersBack) {
  begin({4});
  Script main(0);
  main.page(0, 1, 5).record("x", kOpaque).close();
  arrive_all(main);
  ASSERT_TRUE(wait_acknowledged(4));
  EXPECT_EQ(site_.log(0), (Log{"rx", "c"}));
  Script data(1);
  data.page(0, 1, 6).close();
  arrive_all(data);
  ASSERT_TRUE(wait_acknowledged(7));
  EXPECT_EQ(site_.log(1), (Log{"w 0:1", "c"}));
  EXPECT_EQ(site_.page(0, 1), main.content(6));
}

TEST_F(LandingTest, OpaqueThatRefersBackToPlacedPagesIsAnError) {
  begin({4});
  Script main(0);
  main.page(0, 1, 5).record("x", kOpaque | kNeedsPages);
  arrive_all(main);
  EXPECT_NE(wait_failure().find("channel 0 can no longer be parsed"), std::string::npos) << wait_failure();
  EXPECT_TRUE(site_.log(0).empty()) << "nothing of it reached the destination";
}

TEST_F(LandingTest, OpaqueOfADataChannelAfterPlacedPagesIsAnError) {
  begin({4});
  Script main(0);
  Script data(1);
  data.page(0, 1, 5).record("x", kOpaque);
  main.record("a");
  arrive_all(main);
  arrive_all(data);
  EXPECT_NE(wait_failure().find("placement=relay"), std::string::npos) << wait_failure();
}

// As QEMU's main channel does in setup where a section is not known; it is flushed behind the first pages.
TEST_F(LandingTest, OpaqueOfTheMainChannelAfterPlacedPagesOfADataChannelRelaysFromThenOn) {
  begin({4});
  Script main(0);
  Script data(1);
  main.record("a").record("x", kOpaque).record("y").close();
  data.page(0, 1, 5).page(0, 2, 6).close();
  arrive(data.frames()[0]);
  ASSERT_TRUE(arrive(data.frames()[1]));
  ASSERT_TRUE(wait_acknowledged(2));
  EXPECT_EQ(site_.page(0, 1), data.content(5));
  arrive_all(main);
  ASSERT_TRUE(wait_acknowledged(7));
  ASSERT_TRUE(arrive(data.frames()[2]));
  ASSERT_TRUE(arrive(data.frames()[3]));
  ASSERT_TRUE(wait_acknowledged(9));
  EXPECT_EQ(site_.log(1), (Log{"w 0:2", "c"}));
  EXPECT_TRUE(landing_->totals().withdrawn);
}

TEST_F(LandingTest, OpaqueBehindTheLastPageIsNothingSpecial) {
  begin({4});
  Script main(0);
  Script data(1);
  data.page(0, 1, 5).close();
  main.record("done", kPagesDone).record("device state", kOpaque | kNeedsPages).close();
  arrive_all(data);
  arrive_all(main);
  ASSERT_TRUE(wait_acknowledged(7));
  EXPECT_FALSE(landing_->totals().withdrawn);
}

TEST_F(LandingTest, AFrameIsClaimedOnceWhateverBecomesOfIt) {
  Script main(0);
  main.record("a").record("b").close();
  auto& frames = main.frames();
  const auto is_here = [&](size_t frame) {
    auto claimed = landing_->claim(frames[frame].header);
    EXPECT_TRUE(claimed);
    return claimed && !*claimed;
  };
  EXPECT_FALSE(is_here(2));
  EXPECT_TRUE(is_here(2)) << "it is being received";
  landing_->release(frames[2].header);
  ASSERT_TRUE(arrive(frames[2]));
  EXPECT_TRUE(is_here(2)) << "it waits";
  ASSERT_TRUE(arrive(frames[0]));
  ASSERT_TRUE(wait_acknowledged(1));
  EXPECT_TRUE(is_here(0)) << "it has landed";
  ASSERT_TRUE(arrive(frames[1]));
  ASSERT_TRUE(arrive(frames[3]));
  ASSERT_TRUE(wait_acknowledged(4));
  for (size_t frame = 0; frame < 4; ++frame) EXPECT_TRUE(is_here(frame)) << "the channel is closed";
  EXPECT_EQ(site_.log(0), (Log{"ra", "rb", "c"}));
}

TEST_F(LandingTest, APlacedFrameIsHereBeforeItsTurn) {
  begin({4});
  Script main(0);
  main.record("a").page(0, 1, 5);
  ASSERT_TRUE(arrive(main.frames()[2]));
  auto claimed = landing_->claim(main.frames()[2].header);
  ASSERT_TRUE(claimed);
  EXPECT_FALSE(*claimed);
}

TEST_F(LandingTest, AFrameBehindTheCloseIsAnError) {
  Script main(0);
  main.close().record("late");
  Script data(1);
  auto& frames = main.frames();
  ASSERT_TRUE(arrive(frames[0]));
  ASSERT_TRUE(arrive(frames[1]));
  ASSERT_TRUE(wait_acknowledged(2));
  arrive_all(data);  // so that it is not all closed
  EXPECT_ERROR(arrive(frames[2]), "channel 0");
}

TEST_F(LandingTest, AFrameBehindTheCloseIsAnErrorAlsoIfItComesFirst) {
  Script main(0);
  main.close().record("late");
  auto& frames = main.frames();
  ASSERT_TRUE(arrive(frames[2]));
  ASSERT_TRUE(arrive(frames[1]));
  ASSERT_TRUE(arrive(frames[0]));
  ASSERT_TRUE(site_.wait_log(0, 1));
  EXPECT_EQ(site_.log(0), (Log{"c"}));
  EXPECT_NE(wait_failure().find("channel 0"), std::string::npos) << wait_failure();
}

TEST_F(LandingTest, AFrameOfAnotherEpochIsAnError) {
  Script main(0);
  main.record("a").record("b");
  main.frames()[2].header.epoch = 1;
  arrive_all(main);
  EXPECT_EQ(wait_failure(), "channel 0 has a frame of another epoch");
}

TEST_F(LandingTest, PagesBehindTheLastPagesAreAnError) {
  begin({4});
  Script main(0);
  main.record("done", kPagesDone).page(0, 1, 5);
  arrive_all(main);
  EXPECT_EQ(wait_failure(), "pages came behind the last pages of a channel");
}

TEST_F(LandingTest, AChannelBeginsWithItsOpeningAndHasOne) {
  Script main(0);
  main.frame({.type = FrameType::open, .aux = 0});
  arrive_all(main);
  EXPECT_EQ(wait_failure(), "channel 0 was opened twice");
}

TEST_F(LandingTest, AChannelThatIsNotOpenedIsAnError) {
  Script data(1);
  data.frames()[0].header.type = FrameType::record;
  arrive_all(data);
  EXPECT_EQ(wait_failure(), "channel 1 does not begin with its opening");
}

TEST_F(LandingTest, OnlyChannel0IsMain) {
  Script data(1, ChannelKind::main);
  arrive_all(data);
  EXPECT_EQ(wait_failure(), "channel 1 is of the wrong kind");
}

TEST_F(LandingTest, Channel0IsMain) {
  Script main(0, ChannelKind::urgent);
  arrive_all(main);
  EXPECT_EQ(wait_failure(), "channel 0 is of the wrong kind");
}

TEST_F(LandingTest, AnUnknownKindIsAnError) {
  Script data(1, static_cast<ChannelKind>(4));
  arrive_all(data);
  EXPECT_EQ(wait_failure(), "channel 1 is of unknown kind");
}

TEST_F(LandingTest, AFrameThatIsOfNoChannelIsAnError) {
  Script main(0);
  main.frame({.type = FrameType::ack});
  arrive_all(main);
  EXPECT_EQ(wait_failure(), "channel 0 has a frame of type 24");
}

TEST_F(LandingTest, AChannelNumberOutOfBoundsIsRefused) {
  Script far(kMaxChannels);
  EXPECT_ERROR(arrive(far.frames()[0]), "a frame is of channel 300");
}

TEST_F(LandingTest, BlocksAreNamedOnce) {
  begin({4});
  EXPECT_ERROR(landing_->blocks(test::model_blocks({4})), "named its RAM blocks twice");
  EXPECT_EQ(site_.times_blocks(), 1) << "the site must not hear of the second";
}

TEST_F(LandingTest, WaitBlocksWaitsAndEndsWithTheSession) {
  std::atomic<int> known = 0;
  std::thread waiter([&] {
    if (const PageSpace* space = landing_->wait_blocks())
      known = static_cast<int>(space->pages_of_block.size());
  });
  begin({4, 5});
  waiter.join();
  EXPECT_EQ(known, 2);
}

TEST_F(LandingTest, AFailureEndsAllThatWaits) {
  test::Watchdog watchdog("landing threads of a failed session");
  std::thread waiter([&] { EXPECT_EQ(landing_->wait_blocks(), nullptr); });
  Script main(0);
  main.record("a", kEpochEnd, 2);
  arrive_all(main);
  Script data(1);
  arrive_all(data);
  ASSERT_TRUE(wait_acknowledged(3));
  failure_.fail({"enough"});
  waiter.join();
  landing_.reset();
}

TEST_F(LandingTest, AFailureEndsAThreadThatWaitsForItsEpoch) {
  test::Watchdog watchdog("a landing thread that waits for its epoch");
  begin({4}, false);
  Script main(0);
  main.record("a").page(0, 0, 1);
  arrive_all(main);
  ASSERT_TRUE(site_.wait_log(0, 1));
  failure_.fail({"enough"});
  landing_.reset();
}

TEST_F(LandingTest, TheSitesErrorsEndTheSession) {
  site_.refuse_open();
  Script main(0);
  arrive_all(main);
  EXPECT_EQ(wait_failure(), "the site takes no channel");
}

TEST_F(LandingTest, TheSinksErrorsEndTheSession) {
  Script main(0);
  main.record("a");
  site_.break_sinks();
  arrive_all(main);
  EXPECT_EQ(wait_failure(), "the sink of channel 0 is broken");
}

// Frames of several channels and epochs arrive shuffled on several threads. Every page must end as its last
// epoch had it, no page may be placed before all channels have finished the epoch before, every sink gets its
// order.
class RandomLanding : public LandingTest, public testing::WithParamInterface<uint32_t> {};

TEST_P(RandomLanding, EndsWithTheLastVersionOfEachPage) {
  constexpr uint16_t kChannels = 4;
  constexpr uint64_t kPages = 24;
  std::mt19937 random(GetParam());
  site_.participants = kChannels;
  if (GetParam() % 4 == 1) site_.relayed = {1};
  if (GetParam() % 4 == 2) site_.direct = false;
  const bool direct = site_.direct;
  const uint32_t epochs = 2 + random() % 6;

  std::map<std::pair<uint16_t, uint64_t>, std::vector<uint8_t>> model;
  std::deque<Script> scripts;
  std::vector<Log> records(kChannels);
  for (uint16_t channel = 0; channel < kChannels; ++channel) scripts.emplace_back(channel);
  for (uint32_t epoch = 0; epoch < epochs; ++epoch) {
    for (uint16_t block = 0; block < 2; ++block) {
      for (uint64_t page = 0; page < kPages; ++page) {
        if (random() % 3 == 0) continue;
        // With a relay, the VMM itself orders channels; a page stays on one channel then.
        const bool relayed = !direct || (!site_.relayed.empty() && block == 1);
        Script& script = scripts[relayed ? page % kChannels : random() % kChannels];
        const uint32_t seed = random() % 4 == 0 ? 0 : static_cast<uint32_t>(random() | 1);
        model[{block, page}] = seed ? script.content(seed) : std::vector<uint8_t>(kModelPage, 0);
        script.page(block, page, seed);
      }
    }
    for (uint16_t channel = 0; channel < kChannels; ++channel) {
      const std::string name = "epoch " + std::to_string(epoch);
      scripts[channel].record(name, kEpochEnd, kChannels);
      records[channel].push_back("r" + name);
    }
  }
  std::vector<const Arrival*> frames;
  for (uint16_t channel = 0; channel < kChannels; ++channel) {
    scripts[channel].close();
    records[channel].push_back("c");
    for (const Arrival& frame : scripts[channel].frames()) frames.push_back(&frame);
  }
  std::shuffle(frames.begin(), frames.end(), random);
  if (!direct) site_.participants = 0;  // nothing of ours keeps epochs apart then
  begin({kPages, kPages}, false);

  std::vector<const Arrival*> once_more;  // of these, every other one broke off the first time
  for (const Arrival* frame : frames) {
    if (random() % 4 == 0) once_more.push_back(frame);
  }
  std::set<const Arrival*> broken;
  for (size_t i = 0; i < once_more.size(); i += 2) broken.insert(once_more[i]);
  const auto run_lanes = [&](const std::vector<const Arrival*>& over, const auto& take) {
    std::atomic<size_t> next = 0;
    std::vector<std::thread> lanes;
    for (int i = 0; i < 3; ++i) {
      lanes.emplace_back([&] {
        for (size_t at = next++; at < over.size(); at = next++) take(*over[at], at);
      });
    }
    for (std::thread& lane : lanes) lane.join();
  };
  const auto take = [&](const Arrival& frame, size_t) {
    auto arrived = arrive(frame);
    EXPECT_TRUE(arrived) << arrived.error().message;
  };
  run_lanes(frames, [&](const Arrival& frame, size_t at) {
    if (at == frames.size() / 4) landing_->ready();
    if (!broken.contains(&frame)) return take(frame, at);
    auto claimed = landing_->claim(frame.header);
    EXPECT_TRUE(claimed && *claimed);
    landing_->release(frame.header);
  });
  run_lanes(once_more, take);
  ASSERT_TRUE(wait_acknowledged(frames.size()))
      << (failure_.failed() ? failure_.first()->message : "too slow");
  EXPECT_TRUE(landing_->all_closed());
  EXPECT_EQ(site_.too_early(), 0);
  for (const auto& [where, content] : model) {
    EXPECT_EQ(site_.page(where.first, where.second), content) << where.first << ":" << where.second;
  }
  for (uint16_t channel = 0; channel < kChannels; ++channel) {
    Log log = site_.log(channel);
    std::erase_if(log, [](const std::string& entry) { return entry[0] != 'r' && entry[0] != 'c'; });
    EXPECT_EQ(log, records[channel]);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomLanding, testing::Range(1u, 33u));

}  // namespace
}  // namespace wherry
