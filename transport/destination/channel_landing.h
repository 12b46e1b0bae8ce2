// The landing of one channel: its own thread takes the channel's frames in order, places the pages that had
// to wait, writes the rest to the channel's sink, and tells the source.
//
// So a sink gets what follows a page only after that page is in place, and a slow sink delays only its own
// channel. Errors go to the Failure of the session.
#pragma once

#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "base/result.h"
#include "transport/destination/berth.h"
#include "transport/destination/channel_frames.h"
#include "transport/destination/inflow.h"
#include "transport/destination/landing_site.h"

namespace wherry {

class ChannelLanding {
 public:
  ChannelLanding(uint16_t number, Inflow& inflow)
      : number_(number), inflow_(inflow), frames_(number, inflow.held_bytes) {}
  // Waits for the thread, which ends when the channel is closed, the session has failed, or its frames were
  // stopped.
  ~ChannelLanding();

  Result<> start();
  // Where lanes bring its frames. Thread-safe.
  ChannelFrames& frames() { return frames_; }

 private:
  enum class Landed { yes, asked_again, closed };
  void run();
  Result<Landed> land(Berth& berth);
  Result<> land_open(const FrameHeader& header);
  Result<> land_record(const Berth& berth);
  Result<Landed> land_pages(Berth& berth);

  const uint16_t number_;
  Inflow& inflow_;
  ChannelFrames frames_;
  // Used by the landing thread only.
  uint32_t epoch_ = 0;
  bool pages_done_ = false;
  std::unique_ptr<ChannelSink> sink_;
  std::vector<uint8_t> scratch_;

  std::thread thread_;
};

}  // namespace wherry
