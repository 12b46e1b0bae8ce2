// The order of all frames at the destination: they arrive on any lane, and land in the order of their channel
// and epoch.
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
    uint64_t asked_again = 0;    // batches that referred to what is not here
    GuestPages::Totals guest;
  };

  Landing(LandingSite& site, Tell acknowledge, Tell again, Failure& failure);
  // Waits for the channels' threads. The session must have failed, or all channels must be closed.
  ~Landing();

  // The head of a frame has come. The frame is claimed before anything of it is placed, so that it lands
  // once. Returns an empty Berth if it came before and a lane was lost since, because the source then sends
  // again. Fails if it came twice without that, if its channel or number is impossible, or if a thread is
  // lacking.
  Result<Berth> claim(const FrameHeader& header);
  // From now on the source may send again what it believes to be lost.
  void lane_lost() { lane_lost_ = true; }
  GuestPages& guest() { return inflow_.guest; }
  // Whether every channel that has begun is closed. If so, none begins from now on: the source has finished.
  bool finish();
  Totals totals() const;

 private:
  // Begins the channel if it is new.
  Result<ChannelFrames*> frames_of(uint16_t channel);

  Inflow inflow_;
  std::atomic<bool> lane_lost_ = false;
  mutable Mutex mutex_;
  std::map<uint16_t, std::unique_ptr<ChannelLanding>> channels_ WHERRY_GUARDED_BY(mutex_);
  bool stopped_ WHERRY_GUARDED_BY(mutex_) = false;
  bool finished_ WHERRY_GUARDED_BY(mutex_) = false;  // no channel may begin
  Failure::Guard closer_;
};

}  // namespace wherry
