// A session with a null QEMU at each end, and what it costs. The source sends the same pages again and again.
// The destination has resident guest RAM for them, or drops them (relay).
//
// Costs are in processor seconds. `process` is user and system time of this end's process. `machine` is all
// that the machine did, including interrupts, because a device that is software (soft-RoCE) works there. Both
// count from the end of the handshake until the source leaves.
#pragma once

#include <sys/resource.h>

#include <cstring>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "transport/destination/destination_session.h"
#include "transport/socket/listener.h"
#include "transport/source/source_session.h"

namespace wherry::bench {

inline constexpr uint32_t kPage = 4096;
inline constexpr uint64_t kRam = 64ull << 20;

struct Cost {
  double process = 0;
  double machine = 0;

  static Cost now() {
    Cost cost;
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) {
      return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    cost.process = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    std::ifstream stat("/proc/stat");
    std::string name;
    double user = 0, nice = 0, system = 0, idle = 0, waiting = 0, interrupts = 0, soft = 0;
    stat >> name >> user >> nice >> system >> idle >> waiting >> interrupts >> soft;
    cost.machine = (user + nice + system + interrupts + soft) / static_cast<double>(::sysconf(_SC_CLK_TCK));
    return cost;
  }
  Cost since(const Cost& start) const { return {process - start.process, machine - start.machine}; }
};

class NullPlacement : public Placement {
 public:
  explicit NullPlacement(std::span<uint8_t> ram) : ram_(ram) {}
  std::vector<std::span<uint8_t>> memory() const override { return {ram_}; }
  bool takes(uint16_t) const override { return true; }
  bool takes_all(const PageBatch&) const override { return true; }
  Result<const uint8_t*> base(uint16_t, uint64_t index, uint32_t, uint8_t*) const override {
    return &ram_[index * kPage];
  }
  bool targets(const PageBatch& batch, std::vector<iovec>& where) override {
    for (const PageRun& run : batch.runs)
      where.push_back({&ram_[run.first * kPage], size_t{run.count} * kPage});
    return true;
  }
  Result<> place(const PageBatch&, bool) override { return {}; }

 private:
  const std::span<uint8_t> ram_;
};

class NullSink : public ChannelSink {
 public:
  Result<> record(std::span<const uint8_t>, uint16_t) override { return {}; }
  Result<> pages(const PageBatch&, bool) override { return {}; }
  Result<> close(bool) override { return {}; }
};

class NullSite : public LandingSite {
 public:
  bool relay = false;  // set before the session starts
  Result<std::unique_ptr<ChannelSink>> open(uint16_t, ChannelKind) override {
    return std::make_unique<NullSink>();
  }
  Result<std::unique_ptr<Placement>> blocks(const GuestBlocks&) override {
    if (relay) return nullptr;
    return std::make_unique<NullPlacement>(ram_);
  }
  void lane_lost(size_t, const std::string&) override {}
  Guest give_up() override { return Guest::not_here; }

 private:
  std::vector<uint8_t> ram_ = std::vector<uint8_t>(kRam, 1);
};

// Serves one session, over lanes of any path that `wish` allows. Relays if the source asks for it.
inline Result<> receive_null(const Listener& listener, const FabricWish& wish) {
  Failure failure;
  NullSite site;
  Cost start;
  const auto account = [&start](const nlohmann::json&) {
    const Cost cost = Cost::now().since(start);
    return nlohmann::json{{"process", cost.process}, {"machine", cost.machine}};
  };
  auto session = DestinationSession::accept(listener, wish, site, account, failure);
  if (!session) return pass_on(session);
  site.relay = (*session)->wishes().value("relay", false);
  start = Cost::now();
  (*session)->start();
  (*session)->ready();
  if (auto finished = (*session)->finish(); !finished) return pass_on(finished);
  return {};
}

class NullSource {
 public:
  struct Costs {
    Cost source;
    Cost destination;
  };

  // Connects to a receive_null(). `pages` are kBatchBytes, which are sent as every batch.
  static Result<std::unique_ptr<NullSource>> connect(SourceSession::Options options, bool relay,
                                                     std::vector<uint8_t> pages) {
    options.wishes["relay"] = relay;
    std::unique_ptr<NullSource> source(new NullSource(std::move(pages)));
    auto session = SourceSession::connect(
        options,
        {.bytes = [](uint16_t, std::vector<uint8_t>) {}, .closed = [](uint16_t, bool) {}, .never_there = {}},
        source->failure_);
    if (!session) return pass_on(session);
    source->session_ = std::move(*session);
    source->start_ = Cost::now();
    source->channel_ = source->session_->open_channel(ChannelKind::main);
    GuestBlocks blocks;
    blocks.page_size = kPage;
    blocks.blocks.push_back({"pc.ram", kRam});
    source->channel_->blocks(blocks);
    return source;
  }

  // Errors are returned by finish().
  void send_batch() {
    for (size_t room = 0; room < kBatchBytes;) {
      const size_t more = channel_->take_room(kBatchBytes - room, true);
      if (more == 0) return;
      room += more;
    }
    Slot slot = session_->take_slot();
    if (!slot) return;
    std::memcpy(slot.get(), pages_.data(), kBatchBytes);  // as if it came from a socket
    PageBatch batch;
    batch.page_size = kPage;
    for (uint64_t i = 0; i < kBatchBytes / kPage; ++i) batch.add(0, next_ + i, slot.get() + i * kPage);
    next_ = (next_ + kBatchBytes / kPage) % (kRam / kPage);
    channel_->pages(std::move(batch), slot, kBatchBytes);
  }

  Result<Costs> finish() {
    channel_->close(false);
    auto account = session_->finish(nlohmann::json::object());
    if (!account) return pass_on(account);
    for (const auto& lane : session_->totals().lanes) {
      if (!lane.lost.empty()) return fail("a lane was lost: {}", lane.lost);
    }
    return Costs{Cost::now().since(start_), {account->value("process", 0.0), account->value("machine", 0.0)}};
  }

 private:
  explicit NullSource(std::vector<uint8_t> pages) : pages_(std::move(pages)) {}

  const std::vector<uint8_t> pages_;
  Failure failure_;
  std::unique_ptr<SourceSession> session_;
  std::unique_ptr<SourceChannel> channel_;
  Cost start_;
  uint64_t next_ = 0;
};

}  // namespace wherry::bench
