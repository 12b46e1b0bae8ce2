// The reader of one lane at the destination: takes the heads of frames, says where each body goes, unpacks
// it, and lands it.
//
// Raw pages whose epoch is open are received right where they belong. Everything else comes to memory that no
// peer can write to, because it is read there: slots, or memory of the frame's own. Several bodies can be on
// their way at once, and a frame whose body is there already can overtake them.
//
// Used by one thread, the lane's own.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "base/result.h"
#include "compression/batch_decoder.h"
#include "transport/destination/landing.h"
#include "transport/lane/lane.h"
#include "transport/lane/slots.h"

namespace wherry {

// Slots for long bodies, those of more than 128 KiB. There are enough of them, because SourceSession limits
// the bytes in flight to 128 MiB.
inline constexpr size_t kMostLongBodies = 1024;

class LaneReader {
 public:
  // `slots` has kMostLongBodies; all lanes of a session share it.
  LaneReader(LaneReceiver& lane, Landing& landing, SlotPool& slots)
      : lane_(lane), landing_(landing), slots_(slots) {}

  // Returns when the lane has ended, or an error came over it: lane.lost() tells which.
  Error run();
  // After run(): once this returns, nothing that was on its way lands any more, and those frames can come
  // again over other lanes.
  void settle();

 private:
  // A frame whose head has come, until it has arrived.
  struct Incoming {
    Berth berth;                         // empty: the frame is here already
    std::span<uint8_t> plain{};          // the unpacked frame, in the berth's memory; empty if in place
    std::vector<uint8_t> thrown_away{};  // the body of a frame that is here already
  };
  Result<> take_head();
  Result<bool> begin(Incoming& frame);
  Result<bool> begin_batch(Incoming& frame);
  Result<bool> land_plain(Incoming& frame);
  Result<> finish(Incoming frame);

  LaneReceiver& lane_;
  Landing& landing_;
  SlotPool& slots_;
  FrameHead head_;                     // of the frame that came last
  std::deque<Incoming> on_their_way_;  // in the order in which their bodies come
  BatchDecoder decoder_;
  std::vector<uint8_t> pack_;
  std::vector<uint8_t> scratch_;
};

}  // namespace wherry
