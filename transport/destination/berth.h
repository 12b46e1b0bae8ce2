// A frame that is being received: the claim on it, the memory that it comes to, and its pages.
//
//     Landing::claim() ─▶ make_room() or targets() ─▶ its body comes ─▶ place() ─▶ arrive()
//
// A berth that goes before it arrived, because its lane was lost, gives the claim up: the frame may come
// again, over another lane. The channel's landing thread holds a frame in a berth too while it lands.
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

  // Memory for `length` bytes of the frame, in `slot` if that is one. It stays where it is when the berth is
  // moved.
  std::span<uint8_t> make_room(size_t length, Slot slot);
  void give(std::vector<uint8_t> body) { frame_.body = std::move(body); }
  // Says which pages the batch has; their bytes need not be here. Finds out whether they may be placed now.
  void name_pages(PageBatch pages);
  // If the bytes of the batch can be received right where its pages belong: fills `where` with that, in
  // order.
  bool targets(std::vector<iovec>& where);
  // Whether they are received there.
  bool in_place() const { return in_place_; }

  // All of it is here. Places its pages, if they may be placed now; else they wait for their turn. False: as
  // of complete().
  Result<bool> place(std::vector<uint8_t>& scratch);
  // Whether its pages are in guest memory.
  bool placed() const { return frame_.placed; }
  // Makes whole pages of those that refer to others: see GuestPages. False: they refer to what is not here,
  // so the source was asked again for the batch. The berth is empty then.
  Result<bool> complete(bool in_order, std::vector<uint8_t>& scratch);
  // Gives the claim up and asks the source for the batch once more, whole.
  Result<> ask_again();

  // Moves the frame in: it waits for its channel's order. If its pages are placed the source is told, now.
  Result<> arrive() &&;
  // Its turn has come and it has landed; with `last` it closes the channel. The source is told.
  Result<> landed(bool last) &&;

 private:
  Inflow* inflow_ = nullptr;
  ChannelFrames::Claim claim_;
  Arrival frame_;
  Placement* placement_ = nullptr;  // takes the pages now; null: they wait
  bool in_place_ = false;
};

}  // namespace wherry
