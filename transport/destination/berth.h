// A frame that is being received: the claim on it, the memory that it is received in, and its pages.
//
//     Landing::claim() ─▶ make_room() or targets() ─▶ its body comes ─▶ place() ─▶ arrive()
//
// A berth that is destroyed before it arrived, because its lane was lost, gives the claim up: the frame can
// come again, over another lane. The channel's landing thread also holds a frame in a berth, while it lands.
//
// Used by one thread at a time. Its Landing outlives it.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "transport/destination/channel_frames.h"
#include "transport/destination/inflow.h"

namespace wherry {

class Berth {
 public:
  // Of a frame that is here already: it holds no claim.
  Berth() = default;
  Berth(Inflow& inflow, ChannelFrames::Claim claim, Arrival frame);

  explicit operator bool() const { return static_cast<bool>(claim_); }
  const FrameHeader& header() const { return frame_.header; }
  std::span<const uint8_t> body() const { return frame_.body; }
  PageBatch& pages() { return frame_.pages; }

  // Memory for `length` bytes of the frame, in `slot` unless that is empty. The memory stays where it is when
  // the berth is moved.
  std::span<uint8_t> make_room(size_t length, Slot slot);
  void give(std::vector<uint8_t> body) { frame_.body = std::move(body); }
  // Sets the batch's pages, whose bytes need not be here. Finds out whether they can be placed now.
  void name_pages(PageBatch pages);
  // Whether the bytes of the batch can be received right where its pages belong. Fills `where` with those
  // places, in order.
  bool targets(std::vector<iovec>& where);
  // Whether the bytes are received there.
  bool in_place() const { return in_place_; }

  // All of the frame is here. Places its pages if they can be placed now; else they wait for their turn.
  // False means the same as for complete().
  Result<bool> place(std::vector<uint8_t>& scratch);
  // Whether its pages are in guest memory.
  bool placed() const { return frame_.placed; }
  // Rebuilds the pages that refer to others: see GuestPages. False: what they refer to is not here, so the
  // source was asked for the batch again, and the berth is empty.
  Result<bool> complete(bool in_order, std::vector<uint8_t>& scratch);
  // Gives the claim up and asks the source for the batch once more, whole.
  Result<> ask_again();

  // Hands the frame to its channel, where it waits for its turn. If its pages are placed, it is acknowledged.
  Result<> arrive() &&;
  // Its turn has come and it has landed. It is acknowledged if it was not before. `last`: it closes the
  // channel.
  Result<> landed(bool last) &&;

 private:
  Inflow* inflow_ = nullptr;
  ChannelFrames::Claim claim_;
  Arrival frame_;
  Placement* placement_ = nullptr;  // where the pages can be placed now; null: they wait
  bool in_place_ = false;
};

}  // namespace wherry
