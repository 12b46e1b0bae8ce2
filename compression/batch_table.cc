#include "compression/batch_table.h"

#include "base/bytes.h"

namespace wherry {
namespace {

// A run on the wire, little-endian: u16 block, u8 kind, u8 zero, u32 count, u64 first page.
void put_run(const PageRun& run, uint8_t* out) {
  put_le(out, run.block);
  out[2] = static_cast<uint8_t>(run.kind);
  out[3] = 0;
  put_le(out + 4, run.count);
  put_le(out + 8, run.first);
}

Result<PageRun> get_run(const uint8_t* in) {
  PageRun run;
  run.block = get_le<uint16_t>(in);
  if (in[2] > static_cast<uint8_t>(kLastPageKind))
    return fail("a batch has a page of unknown kind {}", in[2]);
  if (in[3] != 0) return fail("a batch has a run whose reserved byte is {}", in[3]);
  run.kind = static_cast<PageKind>(in[2]);
  run.count = get_le<uint32_t>(in + 4);
  run.first = get_le<uint64_t>(in + 8);
  return run;
}

}  // namespace

void put_table(std::span<const PageRun> runs, std::vector<uint8_t>& out) {
  out.resize(runs.size() * kRunBytes);
  for (size_t i = 0; i < runs.size(); ++i) put_run(runs[i], &out[i * kRunBytes]);
}

Result<PageBatch> read_table(std::span<const uint8_t> table, const PageSpace& space) {
  if (table.empty() || table.size() % kRunBytes != 0 || table.size() / kRunBytes > kBatchRuns) {
    return fail("a batch has a page table of {} bytes", table.size());
  }
  PageBatch batch;
  batch.page_size = space.page_size;
  uint64_t pages = 0;
  uint64_t bytes = 0;
  for (size_t at = 0; at < table.size(); at += kRunBytes) {
    auto run = get_run(&table[at]);
    if (!run) return pass_on(run);
    if (!space.contains(*run)) {
      return fail("a batch names pages {}+{} of block {}, which are outside guest memory", run->first,
                  run->count, run->block);
    }
    pages += run->count;
    if (run->kind != PageKind::zero) bytes += uint64_t{run->count} * space.page_size;
    if (pages > kBatchPages || bytes > kBatchBytes) return fail("a batch names more pages than fit one");
    batch.add_run(*run);
  }
  return batch;
}

}  // namespace wherry
