// How many bytes may be in flight: taken from a channel and not yet acknowledged as placed.
//
// The source guest's QEMU decides when to stop the guest from its own send rate, and takes what Wherry holds
// for sent. All of that becomes downtime, so the bound is a time, not a size. With E the goodput, L the
// downtime target and W = 0.1 s, the window over which QEMU measures its bandwidth:
//
//     bound = 0.1 · E · W·L / (W+L)  +  E · R        (R: the round trip of the link)
//
// The first term keeps the excess under a tenth of L. The second is what the link itself holds: without it a
// long link would never fill. It is never less than one slot a lane, nor than one slot a channel: each
// channel may always have a slot's worth in flight (a batch, with what the stream has around its pages),
// because QEMU's barriers wait for every channel and one that starves would stop all others for ever. Less
// than a whole packet of a multifd channel would do that: the main channel's first bytes wait for it.
//
// A batch is a half of a lane's share of that, batch_bytes(), so that a lane has one to encode while another
// drains.
//
// Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>

#include "transport/flow/goodput.h"

namespace wherry {

class FlightWindow {
 public:
  struct Limits {
    size_t lanes = 1;
    std::chrono::milliseconds downtime{300};
    size_t cap = 0;  // bytes; never more in flight, whatever the goodput
  };
  struct State {
    size_t in_flight = 0;
    size_t most_in_flight = 0;
    size_t bound = 0;  // now
    size_t largest_bound = 0;
    double goodput = 0;  // bytes a second
  };

  explicit FlightWindow(const Limits& limits);

  void open(uint16_t channel);
  void close(uint16_t channel);

  // Reserves up to `want` bytes for a channel; 0 if there is no room now.
  size_t try_take(uint16_t channel, size_t want);
  // Waits for room; 0 once stop() was called.
  size_t take(uint16_t channel, size_t want);
  // Returns a part of what was taken and not used.
  void give_back(uint16_t channel, size_t bytes);
  // Bytes that are placed now.
  void acknowledge(uint16_t channel, size_t bytes);
  void set_round_trip(std::chrono::microseconds round_trip);
  void stop();
  State state() const;
  // How long batches should be, at most kBatchBytes.
  size_t batch_bytes() const { return batch_bytes_; }

 private:
  size_t room(uint16_t channel, size_t want) const;
  void rebound();

  const Limits limits_;
  mutable std::mutex mutex_;
  std::condition_variable freed_;
  std::map<uint16_t, size_t> of_channel_;
  Goodput goodput_;
  std::chrono::microseconds round_trip_{0};
  State state_;
  std::atomic<size_t> batch_bytes_ = 0;
  bool stopped_ = false;
};

}  // namespace wherry
