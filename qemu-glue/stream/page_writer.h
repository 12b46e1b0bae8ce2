// Rebuilds what QEMU's loader expects around pages: page records for the main channel, packets for multifd.
//
// The output is a list of pieces to be written in order; they point into the writer and into the batch and
// are valid until the next call. Used by one thread, the channel's.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "compression/page_batch.h"
#include "transport/wire/channel.h"

namespace wherry::qemu {

// Which blocks' pages to leave out.
using Skip = std::vector<bool>;

class PageWriter {
 public:
  virtual ~PageWriter() = default;
  // With `whole_zeros`, zero pages of multifd are written as pages full of zeros: QEMU does nothing for a
  // zero page that it believes untouched, because it was placed past it (multifd-zero-page.c, from 9.0).
  virtual std::span<iovec> write(const PageBatch& batch, const Skip& skip, bool whole_zeros) = 0;
};

// `blocks` must outlive the writer.
std::unique_ptr<PageWriter> make_main_writer(const GuestBlocks& blocks);
std::unique_ptr<PageWriter> make_multifd_writer(const GuestBlocks& blocks);

}  // namespace wherry::qemu
