// What the tests of a Landing and of its parts share: frames as a source numbers them, and a Landing on a
// ModelSite.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "compression/line_delta.h"
#include "tests/compression/sample_secret.h"
#include "tests/transport/destination/model_site.h"
#include "tests/transport/support.h"
#include "transport/destination/landing.h"

namespace wherry::test {

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
    hash_lines(base.data(), kModelPage, kSampleSecret, hashes);
    const uint64_t changed = changed_lines(now.data(), kModelPage, kSampleSecret, hashes);
    std::vector<uint8_t> said(lines_size(changed, kModelPage));
    put_lines(now.data(), kModelPage, changed, kSampleSecret, said.data());
    return told(PageKind::lines, block, index, said);
  }
  // A page that is to be kept at a place, or that differs from what is kept there in one of its first 256
  // bytes.
  Script& keep(uint16_t block, uint64_t index, uint32_t place, const std::vector<uint8_t>& page) {
    std::vector<uint8_t> said = number(place, kPlaceBytes);
    said.insert(said.end(), page.begin(), page.end());
    return told(PageKind::keep, block, index, said);
  }
  Script& kept(uint16_t block, uint64_t index, uint32_t place, const std::vector<uint8_t>& now, uint8_t at) {
    std::vector<uint8_t> said = number(place, kPlaceBytes);
    const uint64_t sum = hash_page(now.data(), kModelPage, kSampleSecret);
    for (const uint8_t byte : number(sum, kSumBytes)) said.push_back(byte);
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
    auto bytes = noise(kModelPage, seed);
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
    frame.pages.pack = contents_.back();
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

inline std::vector<uint8_t> with_byte(std::vector<uint8_t> page, size_t at, uint8_t value) {
  page[at] = value;
  return page;
}

class LandingFixture : public testing::Test {
 protected:
  void SetUp() override {
    landing_.emplace(
        site_, [this](uint16_t channel, uint64_t sequence) { return acknowledge(channel, sequence); },
        [this](uint16_t channel, uint64_t sequence) { return ask_again(channel, sequence); }, failure_);
  }
  void TearDown() override {
    if (landing_ && !landing_->finish()) failure_.fail({"the test is over"});
    landing_.reset();
  }

  Result<> acknowledge(uint16_t channel, uint64_t sequence) {
    Lock lock(mutex_);
    if (!acknowledged_.emplace(channel, sequence).second) return fail("acknowledged twice");
    changed_.notify_all();
    return {};
  }
  Result<> ask_again(uint16_t channel, uint64_t sequence) {
    Lock lock(mutex_);
    asked_again_.emplace_back(channel, sequence);
    changed_.notify_all();
    return {};
  }
  // What was asked for again.
  using Asked = std::vector<std::pair<uint16_t, uint64_t>>;
  Asked asked_again() {
    Lock lock(mutex_);
    return asked_again_;
  }
  // The same, once there are that many.
  Asked wait_asked_again(size_t frames) {
    const auto until = forever();
    Lock lock(mutex_);
    while (asked_again_.size() < frames && !failure_.failed() && changed_.wait_until(mutex_, until)) {
    }
    return asked_again_;
  }
  bool acknowledged(uint16_t channel, uint64_t sequence) {
    Lock lock(mutex_);
    return acknowledged_.contains({channel, sequence});
  }
  bool wait_acknowledged(size_t frames) {
    const auto until = forever();
    Lock lock(mutex_);
    while (acknowledged_.size() < frames && !failure_.failed() && changed_.wait_until(mutex_, until)) {
    }
    return acknowledged_.size() >= frames && !failure_.failed();
  }
  // The error that the landing ends with.
  std::optional<Error> wait_failure() {
    auto told = failure_.on_fail([this] {
      Lock lock(mutex_);
      changed_.notify_all();
    });
    const auto until = forever();
    Lock lock(mutex_);
    while (!failure_.failed() && changed_.wait_until(mutex_, until)) continue;
    return failure_.first();
  }

  // What the reader of a lane does with a frame.
  Result<> arrive(const Arrival& frame) {
    auto berth = landing_->claim(frame.header);
    if (!berth) return pass_on(berth);
    if (!*berth) return {};
    berth->give(frame.body);
    if (frame.header.type == FrameType::batch) berth->name_pages(frame.pages);
    std::vector<uint8_t> scratch;
    auto placed = berth->place(scratch);
    if (!placed) return pass_on(placed);
    if (!*placed) return {};
    return std::move(*berth).arrive();
  }
  void arrive_all(Script& script) {
    for (const Arrival& frame : script.frames()) {
      auto arrived = arrive(frame);
      ASSERT_TRUE(arrived) << arrived.error().message;
    }
  }
  void begin(std::vector<uint64_t> pages, bool ready = true) {
    ASSERT_TRUE(landing_->guest().name_blocks(model_blocks(std::move(pages)), kSampleSecret));
    if (ready) landing_->guest().ready();
  }

  ModelSite site_;
  Mutex mutex_;
  Condition changed_;
  std::set<std::pair<uint16_t, uint64_t>> acknowledged_ WHERRY_GUARDED_BY(mutex_);
  Asked asked_again_ WHERRY_GUARDED_BY(mutex_);
  Failure failure_;
  std::optional<Landing> landing_;
};

}  // namespace wherry::test
