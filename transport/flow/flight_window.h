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
// Room in the window is a token, FlightRoom: it goes along with the bytes that it stands for, from the read
// to the acknowledgement, and returns to the window when it goes.
//
// Thread-safe; a FlightRoom is used by one thread at a time and does not outlive its window.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>

#include "transport/flow/goodput.h"

namespace wherry {

class FlightWindow;

class FlightRoom {
 public:
  FlightRoom() = default;
  FlightRoom(FlightRoom&& other) noexcept;
  FlightRoom& operator=(FlightRoom&& other) noexcept;
  ~FlightRoom();

  size_t bytes() const { return bytes_; }
  // Parts with that many bytes, or with all that there are.
  FlightRoom split(size_t bytes);
  // Takes over the room of the same channel.
  void add(FlightRoom other);
  // The bytes are placed: they count for the goodput, and the room returns to the window.
  void landed();

 private:
  friend class FlightWindow;
  FlightRoom(FlightWindow& window, uint16_t channel, size_t bytes)
      : window_(&window), channel_(channel), bytes_(bytes) {}

  FlightWindow* window_ = nullptr;
  uint16_t channel_ = 0;
  size_t bytes_ = 0;
};

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

  // Up to `want` bytes for a channel; 0 if there is no room now.
  FlightRoom try_take(uint16_t channel, size_t want);
  // Waits for room; 0 once stop() was called.
  FlightRoom take(uint16_t channel, size_t want);
  void set_round_trip(std::chrono::microseconds round_trip);
  void stop();
  State state() const;
  // How long batches should be, at most kBatchBytes.
  size_t batch_bytes() const { return batch_bytes_; }

 private:
  friend class FlightRoom;
  size_t room(uint16_t channel, size_t want) const;
  FlightRoom grant(uint16_t channel, size_t bytes);
  void give_back(uint16_t channel, size_t bytes);
  void landed(uint16_t channel, size_t bytes);
  void release(uint16_t channel, size_t bytes);
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
