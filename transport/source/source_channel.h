// One channel of a session at the source.
//
// Used by one thread, the reader of its connection. Its session outlives it.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <vector>

#include "base/failure.h"
#include "transport/flow/flight_window.h"
#include "transport/lane/outgoing_channel.h"
#include "transport/source/lane_roster.h"
#include "transport/source/outflow.h"
#include "transport/wire/control.h"

namespace wherry {

class SourceChannel : public OutgoingChannel {
 public:
  // What it shares with the other channels of its session.
  struct Session {
    Outflow& outflow;
    LaneRoster& lanes;
    Control& control;
    Failure& failure;
  };
  // Tells the destination that the channel begins.
  SourceChannel(const Session& session, uint16_t number, ChannelKind kind);

  // Takes the right to hold up to `want` more bytes of the channel (see FlightWindow), and returns how many.
  // Each of them has to be given back, or charged to a frame. 0: there is no room now; with `wait`: the
  // session is over.
  size_t take_room(size_t want, bool wait);
  void give_back(size_t bytes) override;

  void record(std::span<const uint8_t> bytes, Slot memory, uint16_t flags, uint32_t aux,
              size_t charge) override;
  void record(std::vector<uint8_t> bytes, uint16_t flags, uint32_t aux, size_t charge) override;
  void pages(PageBatch batch, Slot memory, size_t charge) override;
  void blocks(const GuestBlocks& blocks) override;
  size_t batch_bytes() const override;
  // `both_ways`: the VMM reads nothing more from the channel either.
  void close(bool both_ways);

  // Waits until the destination has acknowledged the last frame, or the session is over. If that frame is not
  // a batch, all frames before it have landed then.
  void await_landed();
  // Whether a frame that is sent now would have to wait for a lane, or longer than `wait` until the network
  // has sent what is there already.
  bool lanes_busy(std::chrono::microseconds wait) const;

  uint16_t number() const { return number_; }
  ChannelKind kind() const { return kind_; }

 private:
  FlightWindow& window() const { return session_.outflow.window_of(kind_); }
  void send(OutFrame frame, size_t charge = 0);
  void send_record(OutFrame frame, uint16_t flags, uint32_t aux, size_t charge);

  const Session session_;
  const uint16_t number_;
  const ChannelKind kind_;
  FlightRoom room_;  // for bytes that were taken and are not in a frame yet
  uint64_t sequence_ = 0;
  uint32_t epoch_ = 0;
};

}  // namespace wherry
