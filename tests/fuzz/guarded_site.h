// A landing site for fuzzing: guest memory of known bounds, and sinks. It checks what a session promises to
// whoever receives the guest (transport/destination/landing_site.h), and counts what was reached.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "tests/fuzz/promise.h"
#include "transport/destination/destination_session.h"
#include "transport/destination/landing_site.h"

namespace wherry::test {

// What runs have reached, in all of them together.
struct Reached {
  std::atomic<uint64_t> sessions = 0;  // that have begun
  std::atomic<uint64_t> placed = 0;    // batches, in guest memory
  std::atomic<uint64_t> relayed = 0;   // batches, given to a sink
  std::atomic<uint64_t> patched = 0;   // pages that landed as a change of guest memory
  std::atomic<uint64_t> same = 0;      // … as a reference to another
  std::atomic<uint64_t> copied = 0;    // … and were copied
  std::atomic<uint64_t> kept = 0;      // … as a change of their copy
  std::atomic<uint64_t> epochs = 0;    // that a channel has ended
  std::atomic<uint64_t> again = 0;     // batches that were asked for once more
  std::atomic<uint64_t> lost = 0;      // lanes that were lost while the session went on
  std::atomic<uint64_t> done = 0;      // sessions that came to their good end
  std::atomic<uint64_t> told = 0;      // sources that came back and heard the last word

  std::string text() const {
    return fmt::format(
        "sessions {}, placed {}, relayed {}, patched {}, same {}, copied {}, kept {}, epochs {}, again {}, "
        "lost {}, done {}, told {}",
        sessions, placed, relayed, patched, same, copied, kept, epochs, again, lost, done, told);
  }
};
inline Reached reached;

class GuardedSite : public LandingSite {
 public:
  struct Behaviour {
    bool direct = true;             // pages can be placed
    bool mapped = true;             // … where they arrive, and read where they are
    bool part = false;              // … but not those of the last block
    bool ready = true;              // from the start; if not, once a record says so
    bool broken = false;            // sinks fail after a few records
    bool answers = false;           // the VMM says something to each record of the main channel
    bool compares = true;           // the lengths of blocks, with those of its own
    Guest guest = Guest::not_here;  // what it says when the session has failed
  };
  static constexpr std::array<uint64_t, 3> kBlocks{64 * 1024, 192 * 1024, 65536 + 3 * 1024};

  explicit GuardedSite(const Behaviour& behaviour) : behaviour_(behaviour) {
    for (const uint64_t length : kBlocks) memory_.emplace_back(new uint8_t[length]());
  }
  // Before the session starts.
  void serve(DestinationSession& session) { session_ = &session; }

  Result<std::unique_ptr<ChannelSink>> open(uint16_t channel, ChannelKind kind) override {
    PROMISE(channel < kMaxChannels && (kind == ChannelKind::main) == (channel == kMainChannel));
    PROMISE(!opened_[channel].exchange(true));
    return std::make_unique<Sink>(*this, channel);
  }

  Result<std::unique_ptr<Placement>> blocks(const GuestBlocks& blocks) override {
    PROMISE(!named_.exchange(true));
    PROMISE(blocks.blocks.size() <= kMaxBlocks);
    space_ = blocks.space();
    uint64_t bytes = 0;
    for (const GuestBlocks::Block& block : blocks.blocks) {
      bytes += block.length;
      const auto mine = static_cast<size_t>(block.name.size() == 1 ? block.name[0] - 'a' : kBlocks.size());
      const bool known = mine < kBlocks.size() && !(behaviour_.part && mine == kBlocks.size() - 1);
      if (known && behaviour_.compares && block.length > kBlocks[mine]) return fail("a block is too long");
      taken_.push_back(known && block.length <= kBlocks[mine] ? mine : kNone);
    }
    PROMISE(bytes <= kMaxGuestBytes);
    if (!behaviour_.direct || !blocks.relay_because.empty()) return nullptr;
    direct_ = true;
    return std::make_unique<Memory>(*this);
  }

  void lane_lost(size_t, const std::string& why) override {
    PROMISE(!why.empty());
    ++reached.lost;
  }
  Guest give_up() override { return behaviour_.guest; }

 private:
  static constexpr size_t kNone = ~size_t{0};

  // What every batch is when it is handed out: in the bounds of the guest, and whole.
  void check(const PageBatch& batch, bool bytes_there) const {
    PROMISE(named_ && batch.page_size == space_.page_size);
    size_t carried = 0;
    for (const PageRun& run : batch.runs) {
      PROMISE(space_.contains(run));
      if (run.kind != PageKind::zero) carried += run.count;
    }
    PROMISE(carried * batch.page_size <= kBatchBytes);
    if (bytes_there) return;
    PROMISE(batch.data.size() == carried);
    uint8_t all = 0;  // a sanitizer sees if a view leads elsewhere
    for (const uint8_t* page : batch.data) {
      for (uint32_t at = 0; at < batch.page_size; ++at) all |= page[at];
    }
    static std::atomic<uint8_t> read;
    read = all;
  }

  class Sink : public ChannelSink {
   public:
    Sink(GuardedSite& site, uint16_t channel) : site_(site), channel_(channel) {}
    Result<> record(std::span<const uint8_t> bytes, uint16_t flags) override {
      PROMISE(!closed_ && bytes.size() <= kMaxBody);
      if (site_.behaviour_.broken && ++records_ > 3) return fail("the VMM takes nothing more");
      if (flags & kSetupDone) site_.session_->ready();
      if (flags & kEpochEnd) ++reached.epochs;
      // It fails only with the session.
      if (site_.behaviour_.answers && channel_ == kMainChannel)
        (void)site_.session_->send_back(channel_, bytes.first(std::min<size_t>(bytes.size(), 16)));
      return {};
    }
    Result<> pages(const PageBatch& batch, bool placed) override {
      PROMISE(!closed_);
      PROMISE(!placed || site_.direct_);
      site_.check(batch, false);
      ++(placed ? reached.placed : reached.relayed);
      return {};
    }
    Result<> close(bool both_ways) override {
      PROMISE(!std::exchange(closed_, true));
      if (both_ways) (void)site_.session_->close_back(channel_, true);  // it fails only with the session
      return {};
    }

   private:
    GuardedSite& site_;
    const uint16_t channel_;
    int records_ = 0;
    bool closed_ = false;
  };

  class Memory : public Placement {
   public:
    explicit Memory(GuardedSite& site) : site_(site) {}
    bool takes(uint16_t block) const override {
      PROMISE(block < site_.taken_.size());
      return site_.taken_[block] != kNone;
    }
    bool takes_all(const PageBatch& batch) const override {
      return std::all_of(batch.runs.begin(), batch.runs.end(),
                         [this](const PageRun& run) { return takes(run.block); });
    }
    Result<const uint8_t*> base(uint16_t block, uint64_t index, uint32_t page_size,
                                uint8_t* scratch) const override {
      if (!takes(block)) return fail("block {} is not placed here", block);
      const uint8_t* page = site_.at({block, PageKind::raw, 1, index});
      if (site_.behaviour_.mapped) return page;
      Lock lock(site_.copying_);
      std::memcpy(scratch, page, page_size);
      return scratch;
    }
    bool targets(const PageBatch& batch, std::vector<iovec>& where) override {
      if (!site_.behaviour_.mapped || !takes_all(batch)) return false;
      for (const PageRun& run : batch.runs) {
        if (run.kind != PageKind::zero)
          where.push_back({site_.at(run), size_t{run.count} * site_.space_.page_size});
      }
      return true;
    }
    Result<> place(const PageBatch& batch, bool bytes_there) override {
      site_.check(batch, bytes_there);
      ++reached.placed;
      Lock lock(site_.copying_);
      size_t next = 0;
      for (const PageRun& run : batch.runs) {
        const size_t first = next;
        if (run.kind != PageKind::zero) next += run.count;
        if (!takes(run.block)) continue;
        uint8_t* to = site_.at(run);
        if (run.kind == PageKind::zero)
          std::memset(to, 0, size_t{run.count} * batch.page_size);
        else if (!bytes_there)
          for (uint32_t i = 0; i < run.count; ++i)
            std::memmove(to + size_t{i} * batch.page_size, batch.data[first + i], batch.page_size);
      }
      return {};
    }

   private:
    GuardedSite& site_;
  };

  // The memory of a run, all of which is in its block.
  uint8_t* at(const PageRun& run) const {
    PROMISE(space_.contains(run));
    const size_t mine = taken_[run.block];
    PROMISE((run.first + run.count) * space_.page_size <= kBlocks[mine]);
    return memory_[mine].get() + run.first * space_.page_size;
  }

  const Behaviour behaviour_;
  DestinationSession* session_ = nullptr;
  std::vector<std::unique_ptr<uint8_t[]>> memory_;  // each of its own, so that a sanitizer sees its bounds
  std::array<std::atomic<bool>, kMaxChannels> opened_{};
  std::atomic<bool> named_ = false;
  // Set by blocks(), before any batch.
  PageSpace space_;
  std::vector<size_t> taken_;  // by number at the source: which of memory_, or kNone
  bool direct_ = false;
  Mutex copying_;
};

}  // namespace wherry::test
