#include "qemu-glue/stream/batcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <thread>

#include "tests/transport/destination/model_site.h"
#include "tests/transport/support.h"
#include "transport/destination/destination_session.h"

namespace wherry::qemu {
namespace {

using wherry::test::bytes_of;
using wherry::test::kModelPage;
using Log = wherry::test::ModelSite::Log;

// A batcher at the one end of a session over loopback; what it sends is seen by the sinks at the other end.
class BatcherTest : public testing::Test {
 protected:
  BatcherTest() : watchdog_("a batcher's session") {}
  void SetUp() override {
    site_.direct = false;
    auto listener = Listener::open({.path = {}, .host = "127.0.0.1", .port = 0});
    ASSERT_TRUE(listener);
    listener_.emplace(std::move(*listener));
    std::thread accepting([&] {
      const auto account = [](const nlohmann::json&) { return nlohmann::json::object(); };
      auto accepted = DestinationSession::accept(*listener_, site_, account, destination_failure_);
      if (accepted) destination_ = std::move(*accepted);
    });
    auto source = SourceSession::connect({.peers = {listener_->where()}, .lanes = 1}, {}, source_failure_);
    accepting.join();
    ASSERT_TRUE(source && destination_);
    source_ = std::move(*source);
    destination_->start();
    destination_->ready();
    channel_ = source_->open_channel(ChannelKind::main);
    batcher_.emplace(*channel_, Batcher::Notices{
                                    .blocks = [this](const GuestBlocks& blocks) { named_ = blocks; },
                                    .participants = [] { return 1u; },
                                    .opaque = [this](const std::string& why) { opaque_ = why; },
                                    .answers = [this] { answers_ = true; },
                                    .unparsed = [this] { unparsed_ = true; },
                                    .pages_done = [this] { pages_done_ = true; },
                                    .postcopy = [this] { postcopy_ = true; },
                                });
    memory_ = source_->take_slot();
    batcher_->set_memory(memory_);
  }
  void TearDown() override {
    batcher_->flush();
    batcher_->set_memory(nullptr);
    memory_.reset();
    channel_->close(false);
    EXPECT_TRUE(source_->finish(nlohmann::json::object()));
    EXPECT_TRUE(destination_->finish());
    EXPECT_EQ(source_->totals().window.in_flight, 0u);
  }

  // `text` as the next bytes of the stream.
  std::span<const uint8_t> put(const std::string& text) {
    uint8_t* at = memory_.get() + used_;
    std::copy(text.begin(), text.end(), at);
    used_ += text.size();
    return {at, text.size()};
  }
  void record(const std::string& text) {
    const auto bytes = put(text);
    channel_->take_room(bytes.size(), true);
    batcher_->record(bytes);
  }
  void page(uint64_t index, char content) {
    const uint8_t* bytes = content ? put(std::string(kModelPage, content)).data() : nullptr;
    batcher_->page(0, index, bytes, kModelPage, channel_->take_room(1, true));
  }
  void name_blocks(bool has_setup_end = true) {
    batcher_->blocks(wherry::test::model_blocks({64}), has_setup_end);
  }
  Log sent(size_t entries) {
    batcher_->flush();
    EXPECT_TRUE(site_.wait_log(0, entries));
    return site_.log(0);
  }

  wherry::test::Watchdog watchdog_;
  wherry::test::ModelSite site_;
  Failure source_failure_, destination_failure_;
  std::optional<Listener> listener_;
  std::unique_ptr<DestinationSession> destination_;
  std::unique_ptr<SourceSession> source_;
  std::unique_ptr<SourceChannel> channel_;
  std::optional<Batcher> batcher_;
  Slot memory_;
  size_t used_ = 0;
  GuestBlocks named_;
  std::string opaque_;
  bool answers_ = false;
  bool unparsed_ = false;
  bool pages_done_ = false, postcopy_ = false;
};

TEST_F(BatcherTest, JoinsRecordsThatLieSideBySide) {
  record("one ");
  record("two ");
  put("(not sent)");
  record("three");
  EXPECT_EQ(sent(2), (Log{"rone two ", "rthree"}));
}

TEST_F(BatcherTest, KeepsTheOrderOfPagesAndRecords) {
  name_blocks();
  record("a");
  page(0, 'x');
  page(1, 0);
  record("b");
  batcher_->epoch_end();
  record("c");
  page(2, 'y');
  const size_t element = channel_->take_room(1, true);
  batcher_->replacement(bytes_of("instead"), element);
  record("d");
  EXPECT_EQ(sent(7), (Log{"ra", "w 0:0 0:1", "rb", "rc", "w 0:2", "rinstead", "rd"}));
  EXPECT_EQ(site_.page(0, 0), std::vector<uint8_t>(kModelPage, 'x'));
}

TEST_F(BatcherTest, ClosesABatchThatIsFull) {
  batcher_->blocks(wherry::test::model_blocks({4096}), true);
  // As nothing has been measured yet, batches are short.
  const uint64_t full = channel_->batch_bytes() / kModelPage;
  ASSERT_LT(full, kBatchBytes / kModelPage);
  for (uint64_t i = 0; i < full; ++i) page(i, 'x');
  EXPECT_TRUE(site_.log(0).empty());
  const uint8_t* last = memory_.get();
  batcher_->page(0, 4000, last, kModelPage, channel_->take_room(1, true));
  const Log log = sent(2);
  ASSERT_EQ(log.size(), 2u);
  EXPECT_EQ(std::count(log[0].begin(), log[0].end(), ':'), static_cast<ptrdiff_t>(full));
  EXPECT_EQ(log[1], "w 0:4000");
}

TEST_F(BatcherTest, SaysWhyPagesMustBeRelayed) {
  name_blocks();
  EXPECT_EQ(named_.relay_because, "the migration capability return-path is off");
  EXPECT_FALSE(answers_);
}

TEST_F(BatcherTest, TakesAReturnPathForAnAnswerToCome) {
  batcher_->return_path_opened();
  name_blocks();
  EXPECT_EQ(named_.relay_because, "");
  EXPECT_TRUE(answers_);
}

TEST_F(BatcherTest, RelaysForOldMachineTypes) {
  batcher_->return_path_opened();
  name_blocks(false);
  EXPECT_EQ(named_.relay_because, "a machine type of QEMU 2.3 or before");
}

TEST_F(BatcherTest, RelaysForPostcopy) {
  batcher_->return_path_opened();
  batcher_->postcopy_advised();
  EXPECT_TRUE(postcopy_);
  name_blocks();
  EXPECT_EQ(named_.relay_because, "postcopy is enabled");
}

TEST_F(BatcherTest, TellsOfOpaqueOnlyWhilePagesCome) {
  batcher_->opaque("why not", true);
  record("x");
  EXPECT_EQ(opaque_, "why not");
  EXPECT_TRUE(unparsed_);
  opaque_.clear();
  unparsed_ = false;
  batcher_->pages_done();
  EXPECT_TRUE(pages_done_);
  batcher_->opaque("device state", false);
  EXPECT_EQ(opaque_, "");
  EXPECT_TRUE(unparsed_);
}

}  // namespace
}  // namespace wherry::qemu
