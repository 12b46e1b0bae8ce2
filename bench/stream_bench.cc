// Reading QEMU's streams, and rebuilding them. The results are bytes of stream a second on one core.
#include <benchmark/benchmark.h>

#include <cstring>
#include <string>

#include "base/bytes.h"
#include "qemu-glue/stream/formats.h"
#include "qemu-glue/stream/main_reader.h"
#include "qemu-glue/stream/multifd_reader.h"
#include "qemu-glue/stream/page_writer.h"

namespace wherry::qemu {
namespace {

constexpr uint32_t kPage = 4096;
constexpr uint64_t kRam = 1ull << 30;

// Ignores all events.
class Ignore : public StreamEvents {
 public:
  void record(std::span<const uint8_t>) override {}
  void replacement(std::vector<uint8_t>, size_t) override {}
  void epoch_end() override {}
  void page(uint16_t, uint64_t, const uint8_t* content, uint32_t, size_t) override {
    benchmark::DoNotOptimize(content);
    ++pages;
  }
  void blocks(const GuestBlocks&, bool) override {}
  void dropped(size_t) override {}
  void setup_done() override {}
  void pages_done() override {}
  void postcopy_advised() override {}
  void return_path_opened() override {}
  void opaque(std::string_view, bool) override {}
  uint64_t pages = 0;
};

void put(std::vector<uint8_t>& out, uint64_t value, int bytes) {
  for (int i = bytes; i-- > 0;) out.push_back(static_cast<uint8_t>(value >> (8 * i)));
}
void put(std::vector<uint8_t>& out, const std::string& text) {
  out.push_back(static_cast<uint8_t>(text.size()));
  out.insert(out.end(), text.begin(), text.end());
}

// A main channel up to the first page: header, configuration, START of ram, head of the first PART.
std::vector<uint8_t> stream_head() {
  std::vector<uint8_t> out;
  put(out, kFileMagic, 4);
  put(out, kFileVersion, 4);
  out.push_back(kConfiguration);
  put(out, 2, 4);
  out.insert(out.end(), {'p', 'c'});
  out.push_back(kSectionStart);
  put(out, 2, 4);
  put(out, "ram");
  put(out, 0, 4);
  put(out, kRamVersion, 4);
  put(out, kRam | kRamMemSize, 8);
  put(out, "pc.ram");
  put(out, kRam, 8);
  put(out, kRamEos, 8);
  out.push_back(kSectionFooter);
  put(out, 2, 4);
  out.push_back(kSectionPart);
  put(out, 2, 4);
  put(out, kRamPage, 8);
  put(out, "pc.ram");
  out.resize(out.size() + kPage, 1);
  return out;
}

void main_reader(benchmark::State& state) {
  const bool zero = state.range(0) != 0;
  std::vector<uint8_t> pages;
  for (uint64_t i = 0; i < 128; ++i) {
    put(pages, i * kPage | kRamContinue | (zero ? kRamZero : kRamPage), 8);
    pages.resize(pages.size() + (zero ? 1 : kPage), zero ? 0 : 1);
  }
  Ignore events;
  MainReader reader(events);
  std::vector<uint8_t> head = stream_head();
  if (reader.read(head) != head.size()) return state.SkipWithError("the head of the stream cannot be read");
  for (auto _ : state) {
    if (reader.read(pages) != pages.size()) return state.SkipWithError("a page cannot be read");
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * pages.size()));
  state.counters["pages/s"] =
      benchmark::Counter(static_cast<double>(events.pages), benchmark::Counter::kIsRate);
}
BENCHMARK(main_reader)->ArgName("zero")->Arg(0)->Arg(1);

void multifd_reader(benchmark::State& state) {
  GuestBlocks blocks;
  blocks.page_size = kPage;
  blocks.blocks.push_back({"pc.ram", kRam});
  std::vector<uint8_t> packet(320 + 8 * 128 + 128 * kPage, 1);
  std::memset(packet.data(), 0, 320);
  put_be32(&packet[0], kMultifdMagic);
  put_be32(&packet[4], kMultifdVersion);
  put_be32(&packet[16], 128);
  std::memcpy(&packet[64], "pc.ram", 6);
  for (uint64_t i = 0; i < 128; ++i) put_be64(&packet[320 + 8 * i], i * kPage);
  Ignore events;
  RepeatedPages repeated;
  MultifdReader reader(
      events, [&] { return &blocks; }, repeated);
  std::vector<uint8_t> greeting(kMultifdInitBytes);
  reader.read(greeting);
  for (auto _ : state) {
    if (reader.read(packet) != packet.size()) return state.SkipWithError("the packet cannot be read");
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * packet.size()));
}
BENCHMARK(multifd_reader);

void page_writer(benchmark::State& state) {
  GuestBlocks blocks;
  blocks.page_size = kPage;
  blocks.blocks.push_back({"pc.ram", kRam});
  const std::vector<uint8_t> content(128 * kPage, 1);
  PageBatch batch;
  batch.page_size = kPage;
  for (uint64_t i = 0; i < 128; ++i) batch.add(0, i, &content[i * kPage]);
  auto writer = state.range(0) ? make_multifd_writer(blocks) : make_main_writer(blocks);
  for (auto _ : state) benchmark::DoNotOptimize(writer->write(batch, {}, false).data());
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * batch.bytes()));
}
BENCHMARK(page_writer)->ArgName("multifd")->Arg(0)->Arg(1);

}  // namespace
}  // namespace wherry::qemu
