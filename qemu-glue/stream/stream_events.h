// What a reader finds in a QEMU stream, in the order of the stream.
//
// Bytes and pages are views into the memory that was read; the receiver of the events must keep that memory.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "transport/wire/channel.h"

namespace wherry::qemu {

class StreamEvents {
 public:
  virtual ~StreamEvents() = default;
  // Bytes that are not pages, to be carried unchanged.
  virtual void record(std::span<const uint8_t> bytes) = 0;
  // Bytes to carry instead of `element` bytes of the stream.
  virtual void replacement(std::vector<uint8_t> bytes, size_t element) = 0;
  // The last record ends an epoch: after it, QEMU may send any page again.
  virtual void epoch_end() = 0;
  // Page `index` of a RAM block; `content` is null for a zero page. `element` is the number of bytes that it
  // takes in the stream.
  virtual void page(uint16_t block, uint64_t index, const uint8_t* content, uint32_t page_size,
                    size_t element) = 0;
  // The guest's RAM blocks; comes before any page. Without `has_setup_end`, setup_done() never comes.
  virtual void blocks(const GuestBlocks& blocks, bool has_setup_end) = 0;
  // `element` bytes of the stream that need not be carried.
  virtual void dropped(size_t element) = 0;
  // The last record ends the setup of RAM. Nothing between it and the pages makes QEMU change guest memory.
  virtual void setup_done() = 0;
  // The next record follows the last page of the stream.
  virtual void pages_done() = 0;
  // Postcopy was advised: from now on no page may be placed directly.
  virtual void postcopy_advised() = 0;
  // The destination's QEMU was asked for a return path.
  virtual void return_path_opened() = 0;
  // From the next record on the stream is not parsed. With `needs_pages` it may refer back to earlier pages,
  // so these must not be left out.
  virtual void opaque(std::string_view why, bool needs_pages) = 0;
};

}  // namespace wherry::qemu
