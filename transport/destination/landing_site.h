// What a session lands a guest on: a sink for each channel, and guest memory as a place for pages.
//
// Whoever receives the guest implements these; the session calls them.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "compression/batch_decoder.h"
#include "compression/page_batch.h"
#include "transport/wire/channel.h"

namespace wherry {

// One channel's way to the VMM; used by the channel's landing thread only.
class ChannelSink {
 public:
  virtual ~ChannelSink() = default;
  virtual Result<> record(std::span<const uint8_t> bytes, uint16_t flags) = 0;
  // With `placed`, pages of blocks that the placement takes are in guest memory already.
  virtual Result<> pages(const PageBatch& batch, bool placed) = 0;
  // The channel ends in this direction. `both_ways`: the source's VMM reads nothing more from it either.
  virtual Result<> close(bool both_ways) = 0;
};

// Guest memory as a place for pages, and as the base of pages that are sent as a change of what is there.
// Thread-safe for different pages.
class Placement : public PageBases {
 public:
  // The parts of guest RAM that are mapped in this process. What targets() returns lies in them.
  virtual std::vector<std::span<uint8_t>> memory() const { return {}; }
  // Whether it takes the pages of a block.
  virtual bool takes(uint16_t block) const = 0;
  // Whether it takes every page of the batch.
  virtual bool takes_all(const PageBatch& batch) const = 0;
  // Whether this process can write the memory of all pages of the batch that carry bytes. Fills `where` with
  // that memory, in order.
  virtual bool targets(const PageBatch& batch, std::vector<iovec>& where) = 0;
  // Writes the pages that it takes. `bytes_there`: those that carry bytes are written already.
  virtual Result<> place(const PageBatch& batch, bool bytes_there) = 0;
};

// Whoever receives the guest.
class LandingSite {
 public:
  virtual ~LandingSite() = default;
  // Called by the channel's landing thread.
  virtual Result<std::unique_ptr<ChannelSink>> open(uint16_t channel, ChannelKind kind) = 0;
  // The blocks that batches refer to, once, before any pages; null: all pages go through the sinks.
  virtual Result<std::unique_ptr<Placement>> blocks(const GuestBlocks& blocks) = 0;
  // A lane was lost; the session goes on without it. Called by that lane's thread.
  virtual void lane_lost(size_t lane, const std::string& why) = 0;
  // From now on no page is placed, because a channel became opaque.
  virtual void placement_withdrawn() {}

  // The session has failed: where is the guest? Asked again when the VMM has closed the main channel. Must
  // not block.
  enum class Guest {
    not_here,     // and nothing will be written to the VMM any more
    may_be_here,  // what the VMM says is awaited
    in_part,      // both VMMs have a part of it, and wait for another session
  };
  virtual Guest give_up() = 0;
};

}  // namespace wherry
