// A landing site for tests: guest memory of bytes, and sinks that write down what they get.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "tests/transport/support.h"
#include "transport/destination/landing_site.h"

namespace wherry::test {

inline constexpr uint32_t kModelPage = 1024;

inline GuestBlocks model_blocks(std::vector<uint64_t> pages) {
  GuestBlocks blocks;
  blocks.page_size = kModelPage;
  for (size_t i = 0; i < pages.size(); ++i)
    blocks.blocks.push_back({"block" + std::to_string(i), pages[i] * kModelPage});
  return blocks;
}

class ModelSite : public LandingSite {
 public:
  // What a channel's sink was given, in order: "r<bytes>" a record, "p<pages>" pages of a batch, "c" the
  // close.
  using Log = std::vector<std::string>;

  // Set before the session begins.
  bool direct = true;    // pages can be placed
  bool by_iovec = true;  // … where they arrive
  uint16_t participants =
      0;  // of epochs: checks that none is entered too early, if the first bytes say which
  Guest guest = Guest::not_here;  // what it says when the session has failed
  std::vector<uint16_t> relayed;  // blocks that the placement does not take

  Result<std::unique_ptr<ChannelSink>> open(uint16_t channel, ChannelKind kind) override {
    Lock lock(mutex_);
    if (refuse_open_) return fail("the site takes no channel");
    channels_[channel].kind = kind;
    return std::make_unique<Sink>(*this, channel);
  }

  Result<std::unique_ptr<Placement>> blocks(const GuestBlocks& blocks) override {
    Lock lock(mutex_);
    ++times_blocks_;
    for (const auto& block : blocks.blocks) memory_.emplace_back(block.length, uint8_t{0xee});
    for (uint16_t channel = 0; channel < participants; ++channel) channels_.try_emplace(channel);
    if (!direct) return nullptr;
    return std::make_unique<Memory>(*this);
  }

  Guest give_up() override { return guest; }

  void lane_lost(size_t lane, const std::string& why) override {
    Lock lock(mutex_);
    lanes_lost_[lane] = why;
    changed_.notify_all();
  }

  // Waits until a lane is lost; why.
  std::string wait_lost(size_t lane) {
    const auto until = forever();
    Lock lock(mutex_);
    while (!lanes_lost_.contains(lane) && changed_.wait_until(mutex_, until)) continue;
    return lanes_lost_[lane];
  }
  Log log(uint16_t channel) {
    Lock lock(mutex_);
    return channels_[channel].log;
  }
  ChannelKind kind(uint16_t channel) {
    Lock lock(mutex_);
    return channels_.at(channel).kind.value();
  }
  bool opened(uint16_t channel) {
    Lock lock(mutex_);
    return channels_[channel].kind.has_value();
  }
  // Waits until a channel's log has that many entries; false if it never has.
  bool wait_log(uint16_t channel, size_t entries) {
    const auto until = forever();
    Lock lock(mutex_);
    while (channels_[channel].log.size() < entries && changed_.wait_until(mutex_, until)) continue;
    return channels_[channel].log.size() >= entries;
  }
  // Waits until records of a channel have ended its first `epochs` epochs; false if they never do.
  bool wait_epochs(uint16_t channel, uint32_t epochs) {
    const auto until = forever();
    Lock lock(mutex_);
    while (channels_[channel].epochs < epochs && changed_.wait_until(mutex_, until)) continue;
    return channels_[channel].epochs >= epochs;
  }
  // Damages a page, while nothing lands.
  void spoil(uint16_t block, uint64_t index, size_t byte) { at(block, index)[byte] ^= 0x55; }
  // The bytes of a page.
  std::vector<uint8_t> page(uint16_t block, uint64_t index) {
    const uint8_t* at = memory_[block].data() + index * kModelPage;
    return {at, at + kModelPage};
  }
  std::vector<std::vector<uint8_t>> pages(uint16_t block) {
    std::vector<std::vector<uint8_t>> pages(memory_.at(block).size() / kModelPage);
    for (size_t index = 0; index < pages.size(); ++index) pages[index] = page(block, index);
    return pages;
  }
  int times_blocks() const { return times_blocks_; }
  // Pages that were placed before every channel had finished the epoch before theirs.
  int too_early() const { return too_early_; }
  void refuse_open() { refuse_open_ = true; }
  // A sink's calls return an error from now on.
  void break_sinks() { broken_ = true; }

 private:
  void note(uint16_t channel, std::string what) {
    Lock lock(mutex_);
    channels_[channel].log.push_back(std::move(what));
    changed_.notify_all();
  }

  class Sink : public ChannelSink {
   public:
    Sink(ModelSite& site, uint16_t channel) : site_(site), channel_(channel) {}
    Result<> record(std::span<const uint8_t> bytes, uint16_t flags) override {
      if (site_.broken_) return fail("the sink of channel {} is broken", channel_);
      site_.note(channel_, "r" + text_of(bytes));
      if (flags & kEpochEnd) {
        Lock lock(site_.mutex_);
        ++site_.channels_[channel_].epochs;
        site_.changed_.notify_all();
      }
      return {};
    }
    Result<> pages(const PageBatch& batch, bool placed) override {
      if (site_.broken_) return fail("the sink of channel {} is broken", channel_);
      std::string what = placed ? "p" : "w";
      batch.each([&](uint16_t block, uint64_t index, const uint8_t* bytes) {
        what += fmt::format(" {}:{}", block, index);
        if (!placed || site_.is_relayed(block)) site_.write(block, index, bytes);
      });
      site_.note(channel_, what);
      return {};
    }
    Result<> close(bool) override {
      site_.note(channel_, "c");
      return {};
    }

   private:
    ModelSite& site_;
    const uint16_t channel_;
  };

  class Memory : public Placement {
   public:
    explicit Memory(ModelSite& site) : site_(site) {}
    std::vector<std::span<uint8_t>> memory() const override {
      return {site_.memory_.begin(), site_.memory_.end()};
    }
    bool takes(uint16_t block) const override { return !site_.is_relayed(block); }
    bool takes_all(const PageBatch& batch) const override {
      return std::none_of(batch.runs.begin(), batch.runs.end(),
                          [this](const PageRun& run) { return site_.is_relayed(run.block); });
    }
    Result<const uint8_t*> base(uint16_t block, uint64_t index, uint32_t page_size,
                                uint8_t* scratch) const override {
      if (!takes(block)) return fail("the site cannot read block {}", block);
      if (site_.by_iovec) return site_.at(block, index);
      Lock lock(site_.copying_);
      std::memcpy(scratch, site_.at(block, index), page_size);  // as memory that is not mapped is read
      return scratch;
    }
    bool targets(const PageBatch& batch, std::vector<iovec>& where) override {
      if (!site_.by_iovec || !takes_all(batch)) return false;
      for (const PageRun& run : batch.runs) {
        if (run.kind == PageKind::zero) continue;
        where.push_back({site_.at(run.block, run.first), size_t{run.count} * kModelPage});
      }
      return true;
    }
    Result<> place(const PageBatch& batch, bool bytes_there) override {
      if (bytes_there) {
        for (const PageRun& run : batch.runs) {
          for (uint32_t i = 0; i < run.count; ++i) {
            uint8_t* at = site_.at(run.block, run.first + i);
            if (run.kind == PageKind::zero) std::memset(at, 0, kModelPage);
            if (run.kind != PageKind::zero) site_.check_epoch(at);
          }
        }
        return {};
      }
      batch.each([&](uint16_t block, uint64_t index, const uint8_t* bytes) {
        if (!site_.is_relayed(block)) site_.write(block, index, bytes);
      });
      return {};
    }

   private:
    ModelSite& site_;
  };

  bool is_relayed(uint16_t block) const {
    return std::find(relayed.begin(), relayed.end(), block) != relayed.end();
  }
  uint8_t* at(uint16_t block, uint64_t index) { return memory_[block].data() + index * kModelPage; }
  void write(uint16_t block, uint64_t index, const uint8_t* bytes) {
    uint8_t* to = at(block, index);
    if (!bytes) {
      Lock lock(copying_);
      std::memset(to, 0, kModelPage);
      return;
    }
    {
      Lock lock(copying_);
      std::memcpy(to, bytes, kModelPage);
    }
    check_epoch(to);
  }
  // With `participants`, the first byte of each page says of which epoch it is.
  void check_epoch(const uint8_t* page) {
    if (participants == 0) return;
    Lock lock(mutex_);
    for (const auto& [number, channel] : channels_) {
      if (number < participants && channel.epochs < page[0]) ++too_early_;
    }
  }

  struct Channel {
    Log log;
    std::optional<ChannelKind> kind;  // nothing: it is not open
    uint32_t epochs = 0;              // that it has finished
  };
  Mutex mutex_;
  Mutex copying_;  // a page may be read as the base of another while it is written
  Condition changed_;
  std::map<uint16_t, Channel> channels_ WHERRY_GUARDED_BY(mutex_);
  std::map<size_t, std::string> lanes_lost_ WHERRY_GUARDED_BY(mutex_);
  std::vector<std::vector<uint8_t>> memory_;  // by block, made before any page comes
  std::atomic<int> times_blocks_ = 0;
  std::atomic<int> too_early_ = 0;
  std::atomic<bool> refuse_open_ = false;
  std::atomic<bool> broken_ = false;
};

}  // namespace wherry::test
