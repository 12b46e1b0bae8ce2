// The reader of one lane at the destination: takes the heads of frames, says where each body goes, unpacks
// it, and lands it.
//
// Raw pages whose epoch is open are received right where they belong. Everything else comes to memory that no
// peer can write to, because it is read there: slots, or memory of the frame's own. Several bodies may be on
// their way at once; a frame that is there at once may overtake them.
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

// How many batches a source may have in flight that are too long for anything but a slot (SourceSession
// bounds their bytes).
inline constexpr size_t kMostLongBodies = 1024;

class LaneReader {
 public:
  // `slots` has kMostLongBodies; all lanes of a session share it.
  LaneReader(LaneReceiver& lane, Landing& landing, SlotPool& slots)
      : lane_(lane), landing_(landing), slots_(slots) {}

  // Returns when the lane has ended, or an error came over it: lane.lost() tells which.
  Error run();
  // After run(): once this returns, nothing that was on its way lands any more, and those frames may come
  // again over other lanes.
  void settle();

 private:
  // A frame of which the head has come, until it is done with.
  struct Incoming {
    Berth berth;                         // empty: the frame is here already
    std::span<uint8_t> plain{};          // of the berth's memory: what the frame unpacks to; empty in place
    std::vector<uint8_t> thrown_away{};  // where the body goes of a frame that is here already
  };
  Result<> take_head();
  Result<bool> begin(Incoming& frame);
  Result<bool> begin_batch(Incoming& frame);
  Result<bool> land_plain(Incoming& frame);
  Result<> finish(Incoming frame);

  LaneReceiver& lane_;
  Landing& landing_;
  SlotPool& slots_;
  FrameHead head_;                     // the last that came
  std::deque<Incoming> on_their_way_;  // in the order in which their bodies come
  BatchDecoder decoder_;
  std::vector<uint8_t> pack_;
  std::vector<uint8_t> scratch_;
};

}  // namespace wherry
