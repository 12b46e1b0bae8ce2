#include "transport/destination/landing.h"

#include <algorithm>
#include <utility>

namespace wherry {

Landing::Landing(LandingSite& site, Tell acknowledge, Tell again, Failure& failure)
    : inflow_(site, std::move(acknowledge), std::move(again), failure) {
  closer_ = failure.on_fail([this] {
    inflow_.guest.stop();
    Lock lock(mutex_);
    stopped_ = true;
    for (auto& [number, channel] : channels_) channel->frames().stop();
  });
}

Landing::~Landing() = default;

Result<ChannelFrames*> Landing::frames_of(uint16_t channel) {
  Lock lock(mutex_);
  if (auto found = channels_.find(channel); found != channels_.end()) return &found->second->frames();
  if (finished_) return fail("channel {} begins after the source has finished", channel);
  auto made = std::make_unique<ChannelLanding>(channel, inflow_);
  if (stopped_) made->frames().stop();
  if (auto started = made->start(); !started) return pass_on(started);
  return &(channels_[channel] = std::move(made))->frames();
}

Result<Berth> Landing::claim(const FrameHeader& header) {
  if (header.channel >= kMaxChannels) return fail("a frame has the impossible channel {}", header.channel);
  auto frames = frames_of(header.channel);
  if (!frames) return pass_on(frames);
  auto claim = (*frames)->claim(header.sequence);
  if (!claim) return pass_on(claim);
  if (*claim) {
    Arrival frame;
    frame.header = header;
    return Berth(inflow_, std::move(*claim), std::move(frame));
  }
  if (!lane_lost_) return fail("frame {} of channel {} came twice", header.sequence, header.channel);
  return Berth();
}

bool Landing::finish() {
  Lock lock(mutex_);
  finished_ = std::all_of(channels_.begin(), channels_.end(),
                          [](const auto& channel) { return channel.second->frames().closed(); });
  return finished_;
}

Landing::Totals Landing::totals() const {
  return {.placed_pages = inflow_.placed_pages,
          .relayed_pages = inflow_.relayed_pages,
          .asked_again = inflow_.asked_again,
          .guest = inflow_.guest.totals()};
}

}  // namespace wherry
