// The page table of a batch on the wire: which pages it has and how each is encoded (docs/wire-format.md). A
// list of 16-byte runs.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "compression/page_batch.h"

namespace wherry {

inline constexpr uint32_t kRunBytes = 16;

void put_table(std::span<const PageRun> runs, std::vector<uint8_t>& out);

// Reads a table that came from outside: every run must lie within `space`, and the pages that are not zero
// must fit a batch. The returned batch has no page views yet.
Result<PageBatch> read_table(std::span<const uint8_t> table, const PageSpace& space);

}  // namespace wherry
