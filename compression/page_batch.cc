#include "compression/page_batch.h"

namespace wherry {

void PageBatch::add(uint16_t block, uint64_t index, const uint8_t* bytes) {
  PageKind kind = bytes ? PageKind::raw : PageKind::zero;
  ++pages_;
  if (bytes) data.push_back(bytes);
  if (!runs.empty()) {
    PageRun& last = runs.back();
    if (last.block == block && last.kind == kind && last.first + last.count == index) {
      ++last.count;
      return;
    }
  }
  runs.push_back({block, kind, 1, index});
}

void PageBatch::add_run(const PageRun& run) {
  runs.push_back(run);
  pages_ += run.count;
}

bool PageBatch::has_room() const {
  return pages_ < kBatchPages && runs.size() + data.size() < kBatchRuns &&
         (data.size() + 1) * page_size <= kBatchBytes;
}

void PageBatch::clear() {
  runs.clear();
  data.clear();
  sums = nullptr;
  pack = {};
  pages_ = 0;
}

}  // namespace wherry
