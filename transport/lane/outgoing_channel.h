// Where the reader of a channel hands over what is to be sent: records, batches of pages, the guest's blocks.
//
// SourceChannel implements it. A test can implement it without a session. Used by one thread, the channel's
// reader.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "compression/page_batch.h"
#include "transport/lane/slots.h"
#include "transport/wire/channel.h"

namespace wherry {

class OutgoingChannel {
 public:
  virtual ~OutgoingChannel() = default;

  // `bytes` must not change while `memory` lives. `charge` is the number of bytes of the channel that the
  // frame stands for. `flags` and `aux` are those of the frame (docs/wire-format.md, "Flags of a record").
  virtual void record(std::span<const uint8_t> bytes, Slot memory, uint16_t flags, uint32_t aux,
                      size_t charge) = 0;
  virtual void record(std::vector<uint8_t> bytes, uint16_t flags, uint32_t aux, size_t charge) = 0;
  virtual void pages(PageBatch batch, Slot memory, size_t charge) = 0;
  // The blocks that pages refer to. To be called before the first pages().
  virtual void blocks(const GuestBlocks& blocks) = 0;
  // Bytes of the channel that were read and need not be sent, so they are not in flight any more.
  virtual void give_back(size_t bytes) = 0;
  // How many bytes of pages a batch should have now; never more than kBatchBytes.
  virtual size_t batch_bytes() const = 0;
};

}  // namespace wherry
