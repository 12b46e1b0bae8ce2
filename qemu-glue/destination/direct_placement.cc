#include "qemu-glue/destination/direct_placement.h"

#include <algorithm>

#include "base/printable.h"

namespace wherry {

Result<> DirectPlacement::check(const GuestRam& ram, const GuestBlocks& blocks) {
  for (const GuestBlocks::Block& block : blocks.blocks) {
    const auto handle = ram.find(block.name);
    if (!handle || ram.length(*handle) >= block.length) continue;
    return fail("RAM block {} has {} bytes in the destination's QEMU and {} at the source",
                printable(block.name), ram.length(*handle), block.length);
  }
  return {};
}

Result<std::unique_ptr<DirectPlacement>> DirectPlacement::make(GuestRam& ram, const GuestBlocks& blocks) {
  if (!blocks.page_size_named && ram.page_size() != blocks.page_size) {
    return fail("nobody says how large the guest's pages are: give `wherry send` its QEMU's monitor (--qmp)");
  }
  std::unique_ptr<DirectPlacement> placement(new DirectPlacement(ram));
  uint64_t largest = 0;
  for (const GuestBlocks::Block& block : blocks.blocks) {
    auto handle = ram.find(block.name);
    placement->handles_.push_back(handle);
    placement->taken_.push_back(handle.has_value());
    if (handle && block.length > largest) {
      largest = block.length;
      placement->way_ = ram.way(*handle);
    }
  }
  if (largest == 0) return fail("no RAM block of the guest is plain memory at a known address");
  return placement;
}

std::vector<std::span<uint8_t>> DirectPlacement::memory() const {
  std::vector<std::span<uint8_t>> mapped;
  for (const auto& handle : handles_) {
    if (!handle) continue;
    const uint64_t length = ram_.length(*handle);
    if (uint8_t* at = ram_.mapped_at(*handle, 0, length)) mapped.emplace_back(at, length);
  }
  return mapped;
}

bool DirectPlacement::takes_all(const PageBatch& batch) const {
  return std::all_of(batch.runs.begin(), batch.runs.end(),
                     [this](const PageRun& run) { return taken_[run.block]; });
}

bool DirectPlacement::targets(const PageBatch& batch, std::vector<iovec>& where) {
  for (const PageRun& run : batch.runs) {
    if (run.kind == PageKind::zero) continue;
    const size_t handle = *handles_[run.block];
    const uint64_t offset = run.first * batch.page_size;
    const uint64_t length = uint64_t{run.count} * batch.page_size;
    uint8_t* memory = ram_.mapped_at(handle, offset, length);
    if (!memory || !ram_.populate(handle, offset, length)) return false;
    where.push_back({memory, length});
  }
  return true;
}

Result<const uint8_t*> DirectPlacement::base(uint16_t block, uint64_t index, uint32_t page_size,
                                             uint8_t* scratch) const {
  if (!taken_[block]) return fail("a page of RAM block number {} refers to what is not placed here", block);
  const size_t handle = *handles_[block];
  if (const uint8_t* memory = ram_.mapped_at(handle, index * page_size, page_size)) return memory;
  if (auto read = ram_.read(handle, index * page_size, {scratch, page_size}); !read) return pass_on(read);
  return scratch;
}

Result<> DirectPlacement::place(const PageBatch& batch, bool bytes_there) {
  size_t next = 0;
  std::vector<GuestRam::Piece> pieces;
  for (const PageRun& run : batch.runs) {
    const size_t first = next;
    if (run.kind != PageKind::zero) next += run.count;
    if (!taken_[run.block]) continue;
    const size_t handle = *handles_[run.block];
    const uint64_t offset = run.first * batch.page_size;
    if (run.kind == PageKind::zero) {
      auto done = ram_.zero(handle, offset, uint64_t{run.count} * batch.page_size);
      if (!done) return done;
    } else if (!bytes_there) {
      pieces.clear();
      for (uint32_t i = 0; i < run.count; ++i) {
        pieces.push_back({offset + uint64_t{i} * batch.page_size, {batch.data[first + i], batch.page_size}});
      }
      if (auto done = ram_.write(handle, pieces); !done) return done;
    }
  }
  return {};
}

}  // namespace wherry
