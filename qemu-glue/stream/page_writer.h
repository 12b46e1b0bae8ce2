// Rebuilds QEMU's stream from pages: page records for the main channel, packets for multifd.
//
// The output is a list of pieces to write in order. They point into the writer and into the batch and are
// valid until the next call. Used by one thread, the channel's.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "compression/page_batch.h"
#include "transport/wire/channel.h"

namespace wherry::qemu {

// By block number: whether to leave out that block's pages.
using Skip = std::vector<bool>;

class PageWriter {
 public:
  virtual ~PageWriter() = default;
  // With `whole_zeros`, zero pages of multifd are written as pages full of zeros. From 9.0 on, QEMU skips a
  // zero page if it has not received that page before (multifd-zero-page.c), and it does not know of pages
  // that Wherry placed directly.
  virtual std::span<iovec> write(const PageBatch& batch, const Skip& skip, bool whole_zeros) = 0;
};

// `blocks` must outlive the writer.
std::unique_ptr<PageWriter> make_main_writer(const GuestBlocks& blocks);
std::unique_ptr<PageWriter> make_multifd_writer(const GuestBlocks& blocks);

}  // namespace wherry::qemu
