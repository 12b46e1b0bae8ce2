// Turns what a reader finds in one channel into frames of that channel: pages into batches, the rest into
// records.
//
// A batch closes when it is full or when a record follows. flush() closes what is open; the channel's reader
// calls it when the socket has nothing more to read and a lane is free, and when the memory that holds the
// views is full. Used by the channel's reader thread only.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "qemu-glue/stream/stream_events.h"
#include "transport/lane/outgoing_channel.h"
#include "transport/wire/frame.h"

namespace wherry::qemu {

class Batcher : public StreamEvents {
 public:
  // What the rest of the migration must know of this channel.
  struct Notices {
    std::function<void(const GuestBlocks&)> blocks;  // the main channel has listed the RAM blocks
    std::function<uint32_t()> participants;          // number of channels that take part in epochs now
    std::function<void(std::string why)> opaque;     // the channel became opaque before the guest's last page
    std::function<void()> answers;                   // the destination's QEMU was asked for a return path
    std::function<void()> unparsed;                  // the channel became opaque, if only at device state
    std::function<void()> pages_done;
    std::function<void()> postcopy;
  };

  Batcher(OutgoingChannel& channel, Notices notices) : channel_(channel), notices_(std::move(notices)) {}

  // The views of all further events lie in `memory`. No batch and no record may be open.
  void set_memory(Slot memory) { memory_ = std::move(memory); }
  void flush();
  // Whether a batch is open that has room for more pages.
  bool may_grow() const { return !batch_.empty() && !is_full(); }
  // How often a batch started at a lower address than the batch before: QEMU's passes over RAM.
  uint32_t passes() const { return passes_; }

  void record(std::span<const uint8_t> bytes) override;
  void replacement(std::vector<uint8_t> bytes, size_t element) override;
  void epoch_end() override;
  void page(uint16_t block, uint64_t index, const uint8_t* content, uint32_t page_size,
            size_t element) override;
  void dropped(size_t element) override { channel_.give_back(element); }
  void setup_done() override { record_flags_ |= kSetupDone; }
  void blocks(const GuestBlocks& blocks, bool has_setup_end) override;
  void pages_done() override;
  void postcopy_advised() override;
  void return_path_opened() override;
  void opaque(std::string_view why, bool needs_pages) override;

 private:
  bool is_full() const;

  OutgoingChannel& channel_;
  const Notices notices_;
  Slot memory_;

  // At most one of record_ and replacement_ is open.
  std::span<const uint8_t> record_;
  std::vector<uint8_t> replacement_;
  size_t record_charge_ = 0;
  uint16_t record_flags_ = 0;
  PageBatch batch_;
  size_t batch_charge_ = 0;

  uint16_t next_flags_ = 0;  // flags for the next record
  bool postcopy_ = false;    // postcopy was advised
  bool return_path_ = false;
  bool pages_done_ = false;
  std::pair<int, uint64_t> position_{-1, 0};  // block and page index of the last batch's first page
  std::atomic<uint32_t> passes_ = 0;
};

}  // namespace wherry::qemu
