#include "qemu-glue/stream/batcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/transport/destination/model_site.h"
#include "tests/transport/support.h"

namespace wherry::qemu {
namespace {

using wherry::test::bytes_of;
using wherry::test::kModelPage;
using Log = std::vector<std::string>;

constexpr uint64_t kPagesOfABatch = 16;

// Logs what it is given: "r<bytes>" for a record, "p BLOCK:INDEX=CONTENT …" for a batch.
class RecordingChannel : public OutgoingChannel {
 public:
  void record(std::span<const uint8_t> bytes, Slot memory, uint16_t, uint32_t, size_t charge) override {
    EXPECT_TRUE(memory);
    note("r" + std::string(bytes.begin(), bytes.end()), charge);
  }
  void record(std::vector<uint8_t> bytes, uint16_t, uint32_t, size_t charge) override {
    note("r" + std::string(bytes.begin(), bytes.end()), charge);
  }
  void pages(PageBatch batch, Slot memory, size_t charge) override {
    EXPECT_TRUE(memory);
    std::string all = "p";
    batch.each([&](uint16_t block, uint64_t index, const uint8_t* bytes) {
      all += fmt::format(" {}:{}={}", block, index, bytes ? static_cast<char>(bytes[0]) : '0');
    });
    note(all, charge);
  }
  void blocks(const GuestBlocks&) override {}
  void give_back(size_t bytes) override { accounted += bytes; }
  size_t batch_bytes() const override { return kPagesOfABatch * kModelPage; }

  Log log;
  size_t accounted = 0;  // bytes of the channel that were charged or given back

 private:
  void note(std::string what, size_t charge) {
    log.push_back(std::move(what));
    accounted += charge;
  }
};

class BatcherTest : public testing::Test {
 protected:
  void SetUp() override { batcher_.set_memory(memory_); }
  void TearDown() override {
    batcher_.flush();
    EXPECT_EQ(channel_.accounted, taken_);
  }

  // Appends `text` to the stream.
  std::span<const uint8_t> put(const std::string& text) {
    uint8_t* at = memory_.get() + used_;
    std::copy(text.begin(), text.end(), at);
    used_ += text.size();
    return {at, text.size()};
  }
  size_t take(size_t bytes) {
    taken_ += bytes;
    return bytes;
  }
  void record(const std::string& text) {
    const auto bytes = put(text);
    take(bytes.size());
    batcher_.record(bytes);
  }
  void page(uint64_t index, char content) {
    const uint8_t* bytes = content ? put(std::string(kModelPage, content)).data() : nullptr;
    batcher_.page(0, index, bytes, kModelPage, take(1));
  }
  void name_blocks(bool has_setup_end = true) {
    batcher_.blocks(wherry::test::model_blocks({64}), has_setup_end);
  }
  const Log& sent() {
    batcher_.flush();
    return channel_.log;
  }

  RecordingChannel channel_;
  SlotPool pool_{1};
  Slot memory_ = pool_.take();
  size_t used_ = 0;
  size_t taken_ = 0;
  GuestBlocks named_;
  std::string opaque_;
  bool answers_ = false;
  bool unparsed_ = false;
  bool pages_done_ = false, postcopy_ = false;
  Batcher batcher_{channel_,
                   {
                       .blocks = [this](const GuestBlocks& blocks) { named_ = blocks; },
                       .participants = [] { return 1u; },
                       .opaque = [this](const std::string& why) { opaque_ = why; },
                       .answers = [this] { answers_ = true; },
                       .unparsed = [this] { unparsed_ = true; },
                       .pages_done = [this] { pages_done_ = true; },
                       .postcopy = [this] { postcopy_ = true; },
                   }};
};

TEST_F(BatcherTest, JoinsRecordsThatLieSideBySide) {
  record("one ");
  record("two ");
  put("(not sent)");
  record("three");
  EXPECT_EQ(sent(), (Log{"rone two ", "rthree"}));
}

TEST_F(BatcherTest, KeepsTheOrderOfPagesAndRecords) {
  name_blocks();
  record("a");
  page(0, 'x');
  page(1, 0);
  record("b");
  batcher_.epoch_end();
  record("c");
  page(2, 'y');
  const size_t element = take(1);
  batcher_.replacement(bytes_of("instead"), element);
  record("d");
  EXPECT_EQ(sent(), (Log{"ra", "p 0:0=x 0:1=0", "rb", "rc", "p 0:2=y", "rinstead", "rd"}));
}

TEST_F(BatcherTest, ClosesABatchThatIsFull) {
  batcher_.blocks(wherry::test::model_blocks({4096}), true);
  for (uint64_t i = 0; i < kPagesOfABatch; ++i) page(i, 'x');
  EXPECT_TRUE(channel_.log.empty());
  page(4000, 'y');
  const Log& log = sent();
  ASSERT_EQ(log.size(), 2u);
  EXPECT_EQ(std::count(log[0].begin(), log[0].end(), ':'), static_cast<ptrdiff_t>(kPagesOfABatch));
  EXPECT_EQ(log[1], "p 0:4000=y");
}

TEST_F(BatcherTest, SaysWhyPagesMustBeRelayed) {
  name_blocks();
  EXPECT_EQ(named_.relay_because, "the migration capability return-path is off");
  EXPECT_FALSE(answers_);
}

TEST_F(BatcherTest, TakesAReturnPathForAnAnswerToCome) {
  batcher_.return_path_opened();
  name_blocks();
  EXPECT_EQ(named_.relay_because, "");
  EXPECT_TRUE(answers_);
}

TEST_F(BatcherTest, RelaysForOldMachineTypes) {
  batcher_.return_path_opened();
  name_blocks(false);
  EXPECT_EQ(named_.relay_because, "the machine type is of QEMU 2.3 or older");
}

TEST_F(BatcherTest, RelaysForPostcopy) {
  batcher_.return_path_opened();
  batcher_.postcopy_advised();
  EXPECT_TRUE(postcopy_);
  name_blocks();
  EXPECT_EQ(named_.relay_because, "postcopy is enabled");
}

TEST_F(BatcherTest, TellsOfOpaqueOnlyWhilePagesCome) {
  batcher_.opaque("why not", true);
  record("x");
  EXPECT_EQ(opaque_, "why not");
  EXPECT_TRUE(unparsed_);
  opaque_.clear();
  unparsed_ = false;
  batcher_.pages_done();
  EXPECT_TRUE(pages_done_);
  batcher_.opaque("device state", false);
  EXPECT_EQ(opaque_, "");
  EXPECT_TRUE(unparsed_);
}

}  // namespace
}  // namespace wherry::qemu
