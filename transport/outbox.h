// Frames of all channels on their way: queued for the lanes, then kept until they are acknowledged.
//
// Any lane takes the next frame, whichever channel it is of; what a channel's reader may add is bounded by
// the flight window, so the queue itself needs no bound. Thread-safe.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "compression/page_batch.h"
#include "transport/frame.h"
#include "transport/slots.h"

namespace wherry {

struct OutFrame {
  FrameHeader header;
  std::span<const uint8_t> bytes;  // body of a frame that is no batch
  PageBatch pages;                 // of a batch
  Slot slot;                       // the memory behind bytes or pages
  std::vector<uint8_t> owned;      // or here
  size_t charge = 0;               // bytes of the channel that it stands for
};

class Outbox {
 public:
  using Frame = std::shared_ptr<const OutFrame>;

  void push(OutFrame frame);
  // Keeps a frame for its acknowledgement that somebody else sends.
  void keep(OutFrame frame);
  // The next frame to send; null once stop() was called.
  Frame pop();
  // Forgets a frame; returns it, or null if there is no such frame.
  Frame acknowledge(uint16_t channel, uint64_t sequence);
  // Waits until everything is acknowledged; false if stop() was called before.
  bool wait_acknowledged();
  void stop();

 private:
  static uint64_t key(uint16_t channel, uint64_t sequence) { return uint64_t{channel} << 48 | sequence; }
  Frame hold(OutFrame frame);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Frame> queue_;
  std::unordered_map<uint64_t, Frame> unacknowledged_;
  bool stopped_ = false;
};

}  // namespace wherry
