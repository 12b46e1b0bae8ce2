// Limits the bytes in flight: those that were taken from a channel and are not yet acknowledged as placed.
//
// The source's QEMU decides by its own send rate when to stop the guest, and counts what Wherry holds as
// sent. All of that becomes downtime. So the bound is a time, not a size. With E the goodput, L the downtime
// target and W = 0.1 s, the window over which QEMU measures its bandwidth:
//
//     bound = 0.1 · E · W·L / (W+L)  +  E · R        (R: the round trip of the link)
//
// The first term keeps the added downtime under a tenth of L. The second is what the link itself holds:
// without it, a long link would never fill. The bound is never less than one slot for each lane, nor than one
// slot for each channel. Each channel can always have a slot's worth in flight (a batch, and what the stream
// has around its pages), because QEMU's barriers wait for every channel, and a channel that starves would
// stop all others for ever. Less than a whole packet of a multifd channel would be enough to do that: the
// main channel's first bytes wait for that packet.
//
// A batch, batch_bytes(), is half of a lane's share of the bound, so that a lane has one to encode while
// another drains.
//
// Room in the window is a token, FlightRoom. It goes along with the bytes that it stands for, from the read
// to the acknowledgement. When it is destroyed, the room returns to the window.
//
// Thread-safe. A FlightRoom is used by one thread at a time and must not outlive its window.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>

#include "base/mutex.h"
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
  // Splits off that many bytes, or all if there are fewer.
  FlightRoom split(size_t bytes);
  // Takes over the room of `other`, which has to be of the same channel.
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
    size_t cap = 0;  // bytes; the bound is larger only if lanes and channels need it for their slots
  };
  // Sizes are in bytes.
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

  // Room for up to `want` bytes of a channel; for 0 bytes if there is none now.
  FlightRoom try_take(uint16_t channel, size_t want);
  // Waits for room. For 0 bytes after stop().
  FlightRoom take(uint16_t channel, size_t want);
  void set_round_trip(std::chrono::microseconds round_trip);
  void stop();
  State state() const;
  // How many bytes of pages a batch should have, at most kBatchBytes.
  size_t batch_bytes() const { return batch_bytes_; }

 private:
  friend class FlightRoom;
  size_t room(uint16_t channel, size_t want) const WHERRY_REQUIRES(mutex_);
  FlightRoom grant(uint16_t channel, size_t bytes) WHERRY_REQUIRES(mutex_);
  void give_back(uint16_t channel, size_t bytes);
  void landed(uint16_t channel, size_t bytes);
  void release(uint16_t channel, size_t bytes) WHERRY_REQUIRES(mutex_);
  void rebound() WHERRY_REQUIRES(mutex_);

  const Limits limits_;
  mutable Mutex mutex_;
  Condition freed_;
  std::map<uint16_t, size_t> of_channel_ WHERRY_GUARDED_BY(mutex_);
  Goodput goodput_ WHERRY_GUARDED_BY(mutex_);
  std::chrono::microseconds round_trip_ WHERRY_GUARDED_BY(mutex_){0};
  State state_ WHERRY_GUARDED_BY(mutex_);
  std::atomic<size_t> batch_bytes_ = 0;
  bool stopped_ WHERRY_GUARDED_BY(mutex_) = false;
};

}  // namespace wherry
