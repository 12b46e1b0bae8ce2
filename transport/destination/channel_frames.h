// The frames of one channel at the destination: each is claimed by whoever receives it, waits here for its
// turn, and lands once.
//
//     claim() ─▶ Claim::arrive() ─▶ take(), in the channel's order ─▶ Claim::landed()
//
// A Claim that is destroyed before that gives its frame up: it can come again.
//
// Thread-safe; take() is for one thread, the channel's. A Claim is used by one thread at a time and does not
// outlive its ChannelFrames.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "compression/page_batch.h"
#include "transport/lane/slots.h"
#include "transport/wire/frame.h"

namespace wherry {

// What has come of a frame.
struct Arrival {
  FrameHeader header;
  PageBatch pages;            // of a batch; views into `body` or `slot`
  std::vector<uint8_t> body;  // of any other frame; or the memory of a short batch
  Slot slot;                  // the memory of a long batch
  bool placed = false;        // all its pages are in guest memory
};

class ChannelFrames {
 public:
  // The right to bring one frame.
  class Claim {
   public:
    Claim() = default;
    Claim(Claim&& other) noexcept;
    Claim& operator=(Claim&& other) noexcept;
    ~Claim();

    explicit operator bool() const { return frames_ != nullptr; }
    // From now on the frame waits for its turn. Fails if more bytes wait than a source can have in flight.
    Result<> arrive(Arrival frame) &&;
    // It has landed. `last`: it closes the channel. Fails if frames have come that follow the close.
    Result<> landed(bool last) &&;

   private:
    friend class ChannelFrames;
    Claim(ChannelFrames& frames, uint64_t sequence) : frames_(&frames), sequence_(sequence) {}

    ChannelFrames* frames_ = nullptr;
    uint64_t sequence_ = 0;
  };
  struct Next {
    Claim claim;
    Arrival frame;
  };

  // `held_bytes` counts what waits in all channels of the session.
  ChannelFrames(uint16_t channel, std::atomic<size_t>& held_bytes)
      : channel_(channel), held_bytes_(held_bytes) {}

  // Returns an empty Claim if that frame is claimed, waits, or has landed. Fails if it follows the close.
  Result<Claim> claim(uint64_t sequence);
  // Waits for the frame whose turn it is; nothing once stop() was called. It stays claimed.
  std::optional<Next> take();
  // Whether its last frame has landed.
  bool closed() const;
  void stop();

 private:
  const uint16_t channel_;
  std::atomic<size_t>& held_bytes_;
  mutable Mutex mutex_;
  Condition arrived_;
  uint64_t next_ WHERRY_GUARDED_BY(mutex_) = 0;  // all frames before it have landed
  // The frames from next_ on that have come, by sequence. Without an Arrival: being received, or landing.
  std::map<uint64_t, std::optional<Arrival>> here_ WHERRY_GUARDED_BY(mutex_);
  bool closed_ WHERRY_GUARDED_BY(mutex_) = false;  // no frame may follow
  bool stopped_ WHERRY_GUARDED_BY(mutex_) = false;
};

}  // namespace wherry
