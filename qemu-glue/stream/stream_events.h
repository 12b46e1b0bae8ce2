// What a reader of a QEMU stream finds in it, in the order of the stream.
//
// Bytes and pages are views into the memory that was read; the receiver of the events keeps that memory.
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
  // Bytes that are no pages, to be carried as they are.
  virtual void record(std::span<const uint8_t> bytes) = 0;
  // Bytes to carry in the place of `element` bytes of the stream.
  virtual void replacement(std::vector<uint8_t> bytes, size_t element) = 0;
  // The record that was just given ends an epoch: QEMU may send any page again after it.
  virtual void epoch_end() = 0;
  // One page with its position in the stream; `content` is null for a zero page. `element` is the number
  // of bytes that it takes in the stream.
  virtual void page(uint16_t block, uint64_t index, const uint8_t* content, uint32_t page_size,
                    size_t element) = 0;
  // The blocks of the guest; comes before any page. Without `has_setup_end`, setup_done() never comes.
  virtual void blocks(const GuestBlocks& blocks, bool has_setup_end) = 0;
  // `element` bytes of the stream that need not be carried.
  virtual void dropped(size_t element) = 0;
  // The record that was just given ends the setup of RAM: nothing that comes before the pages can change
  // memory.
  virtual void setup_done() = 0;
  // The next record follows the last page of the stream.
  virtual void pages_done() = 0;
  // Source and destination talk postcopy: no page may be placed past QEMU.
  virtual void postcopy_advised() = 0;
  // The destination's QEMU was asked for a return path.
  virtual void return_path_opened() = 0;
  // From the next record on the stream is not parsed. With `needs_pages` it refers back to earlier pages.
  virtual void opaque(std::string_view why, bool needs_pages) = 0;
};

}  // namespace wherry::qemu
