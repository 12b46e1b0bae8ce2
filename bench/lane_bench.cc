// A whole session over TCP on loopback with a null QEMU at each end, beside plain send and recv of 512 KiB.
//
// The source hands out the same pages again and again, the destination has memory for them, or forgets them
// (relay). Everything runs on one core, so bytes a second are bytes a core-second.
#include <benchmark/benchmark.h>
#include <sched.h>
#include <sys/socket.h>

#include <cstring>
#include <thread>

#include "transport/destination_session.h"
#include "transport/source_session.h"

namespace wherry {
namespace {

constexpr uint32_t kPage = 4096;
constexpr uint64_t kRam = 64ull << 20;

void use_one_core() {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(0, &one);
  sched_setaffinity(0, sizeof one, &one);
}

Endpoint loopback() {
  Endpoint at;
  at.host = "127.0.0.1";
  return at;
}

class NullPlacement : public Placement {
 public:
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
  std::vector<uint8_t> ram_ = std::vector<uint8_t>(kRam, 1);
};

class NullSink : public ChannelSink {
 public:
  Result<> record(std::span<const uint8_t>, uint16_t) override { return {}; }
  Result<> pages(const PageBatch&, bool) override { return {}; }
  Result<> close() override { return {}; }
};

class NullSite : public LandingSite {
 public:
  explicit NullSite(bool relay) : relay_(relay) {}
  Result<std::unique_ptr<ChannelSink>> open(uint16_t, ChannelKind) override {
    return std::make_unique<NullSink>();
  }
  Result<std::unique_ptr<Placement>> blocks(const GuestBlocks&) override {
    if (relay_) return nullptr;
    return std::make_unique<NullPlacement>();
  }
  void lane_lost(size_t, const std::string&) override {}

 private:
  const bool relay_;
};

void session(benchmark::State& state) {
  use_one_core();
  Failure failure;
  NullSite site(state.range(0) != 0);
  auto listener = Listener::open(loopback());
  std::unique_ptr<DestinationSession> destination;
  std::thread accepting([&] {
    auto accepted = DestinationSession::accept(
        *listener, site, [] { return nlohmann::json::object(); }, failure);
    destination = std::move(*accepted);
    destination->start();
    destination->ready();
  });
  SourceSession::Options options;
  options.peers = {listener->where()};
  options.lanes = static_cast<size_t>(state.range(1));
  options.compression.mode = Compression::Mode::off;
  auto source =
      SourceSession::connect(options, {[](uint16_t, std::vector<uint8_t>) {}, [](uint16_t) {}}, failure);
  accepting.join();
  if (!source) return state.SkipWithError(source.error().message.c_str());
  auto channel = (*source)->open_channel(ChannelKind::main);
  GuestBlocks blocks;
  blocks.page_size = kPage;
  blocks.blocks.push_back({"pc.ram", kRam});
  channel->blocks(blocks);
  uint64_t next = 0;
  for (auto _ : state) {
    for (size_t room = 0; room < kBatchBytes;) room += channel->take_room(kBatchBytes - room, true);
    Slot slot = (*source)->take_slot();
    std::memset(slot.get(), static_cast<int>(next), kBatchBytes);  // as if it came out of a socket
    PageBatch batch;
    batch.page_size = kPage;
    for (uint64_t i = 0; i < kBatchBytes / kPage; ++i) batch.add(0, next + i, slot.get() + i * kPage);
    next = (next + kBatchBytes / kPage) % (kRam / kPage);
    channel->pages(std::move(batch), slot, kBatchBytes);
  }
  channel->close();
  auto finished = (*source)->finish(nlohmann::json::object());
  if (!finished) return state.SkipWithError(finished.error().message.c_str());
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * kBatchBytes);
}
BENCHMARK(session)->ArgNames({"relay", "lanes"})->Args({0, 1})->Args({1, 1})->Args({0, 4})->UseRealTime();

void plain_socket(benchmark::State& state) {
  use_one_core();
  auto listener = Listener::open(loopback());
  std::thread receiving([&] {
    auto socket = listener->accept(std::chrono::seconds(30));
    std::vector<uint8_t> ram(kRam);
    for (size_t at = 0;; at = (at + kBatchBytes) % kRam) {
      auto more = recv_all(socket->get(), std::span<uint8_t>(&ram[at], kBatchBytes));
      if (!more || !*more) return;
    }
  });
  auto socket = connect_to(listener->where(), std::chrono::seconds(5), std::chrono::seconds(30));
  std::vector<uint8_t> batch(kBatchBytes);
  int value = 0;
  for (auto _ : state) {
    std::memset(batch.data(), value++, batch.size());
    if (!send_all(socket->get(), std::span<const uint8_t>(batch))) return state.SkipWithError("send failed");
  }
  socket->reset();
  receiving.join();
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * kBatchBytes);
}
BENCHMARK(plain_socket)->UseRealTime();

}  // namespace
}  // namespace wherry
