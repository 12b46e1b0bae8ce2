// The destination's order: frames arrive on any lane, and land as their channel and epoch demand.
//
//     lane ─▶ claim(): a Berth for the frame, empty if it is here already
//          ─▶ Berth::place(): pages whose epoch is open are placed at once, by the lane's own thread
//          ─▶ Berth::arrive()
//          ─▶ ChannelLanding: the channel's own thread, in the channel's order
//
// Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>

#include "base/failure.h"
#include "base/mutex.h"
#include "base/result.h"
#include "transport/destination/berth.h"
#include "transport/destination/channel_landing.h"
#include "transport/destination/guest_pages.h"
#include "transport/destination/inflow.h"

namespace wherry {

class Landing {
 public:
  using Tell = Inflow::Tell;
  struct Totals {
    uint64_t placed_pages = 0;   // as in Inflow
    uint64_t relayed_pages = 0;  // as in Inflow
    uint64_t asked_again = 0;    // batches that did not fit what is here
    GuestPages::Totals guest;
  };

  Landing(LandingSite& site, Tell acknowledge, Tell again, Failure& failure);
  // The session has failed, or all channels are closed.
  ~Landing();

  // The head of a frame has come. Before anything of it is placed the frame is claimed, so that it lands
  // once. An empty Berth: it is here already, whatever became of it, which is an error unless a lane was
  // lost. Errors are the peer's doing, or come for want of a thread.
  Result<Berth> claim(const FrameHeader& header);
  // From now on the source may send again what it believes to be lost.
  void lane_lost() { lane_lost_ = true; }
  GuestPages& guest() { return inflow_.guest; }
  // Whether every channel that ever came has ended.
  bool all_closed() const;
  Totals totals() const;

 private:
  // A new one, if need be.
  Result<ChannelFrames*> frames_of(uint16_t channel);

  Inflow inflow_;
  std::atomic<bool> lane_lost_ = false;
  mutable Mutex mutex_;
  std::map<uint16_t, std::unique_ptr<ChannelLanding>> channels_ WHERRY_GUARDED_BY(mutex_);
  bool stopped_ WHERRY_GUARDED_BY(mutex_) = false;
  Failure::Guard closer_;
};

}  // namespace wherry
