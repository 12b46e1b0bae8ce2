// Framing a batch of raw pages (table, header and checksum), and reading it back. The results are bytes of
// pages a second on one core.
#include <benchmark/benchmark.h>

#include "compression/batch_decoder.h"
#include "compression/batch_encoder.h"
#include "compression/batch_table.h"
#include "transport/wire/frame.h"

namespace wherry {
namespace {

constexpr uint32_t kPage = 4096;

PageBatch full_batch(const std::vector<uint8_t>& content) {
  PageBatch batch;
  batch.page_size = kPage;
  for (uint64_t i = 0; i < content.size() / kPage; ++i) batch.add(0, i, &content[i * kPage]);
  return batch;
}

void frame_batch(benchmark::State& state) {
  const std::vector<uint8_t> content(kBatchBytes, 1);
  const PageBatch batch = full_batch(content);
  BatchEncoder encoder;
  EncodedBatch encoded;
  Checksum sum;
  for (auto _ : state) {
    encoder.encode(batch, 0, {}, encoded);
    sum.reset();
    for (std::span<const uint8_t> part : encoded.body) sum.add(part);
    benchmark::DoNotOptimize(
        encode_header({.type = FrameType::batch, .body_sum = sum.value()}, encoded.table));
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * batch.bytes()));
}
BENCHMARK(frame_batch);

void read_batch(benchmark::State& state) {
  const std::vector<uint8_t> content(kBatchBytes, 1);
  const PageSpace space{.page_size = kPage, .pages_of_block = {kBatchBytes / kPage}};
  BatchEncoder encoder;
  EncodedBatch encoded;
  encoder.encode(full_batch(content), 0, {}, encoded);
  Checksum sum;
  for (auto _ : state) {
    auto batch = read_table(encoded.table, space);
    sum.reset();
    sum.add(content);
    if (!batch || !view(*batch, {}, content, false)) return state.SkipWithError("the batch cannot be read");
    benchmark::DoNotOptimize(sum.value());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * content.size()));
}
BENCHMARK(read_batch);

}  // namespace
}  // namespace wherry
