// Frames of all channels on their way: queued for the lanes, then kept until they are acknowledged. What a
// lane had when it was lost is queued once more.
//
// Any lane takes the next frame, whichever channel it is of; what a channel's reader may add is bounded by
// the flight window, so the queue itself needs no bound. Disks' frames stand behind all others, but have
// every fourth turn until the last page of memory: the guest is away then, and waits for nothing else. A
// batch is only handed out when all batches of the epochs before its own are encoded: it may be encoded as
// what changed since them. Thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "compression/batch_encoder.h"
#include "compression/content_index.h"
#include "compression/page_batch.h"
#include "transport/flow/epoch_gate.h"
#include "transport/flow/flight_window.h"
#include "transport/lane/slots.h"
#include "transport/wire/channel.h"
#include "transport/wire/frame.h"

namespace wherry {

struct OutFrame {
  FrameHeader header;
  std::span<const uint8_t> bytes;  // body of a frame that is no batch
  PageBatch pages;                 // of a batch
  Slot slot;                       // the memory behind bytes or pages
  std::vector<uint8_t> owned;      // or here
  bool disk = false;               // it is of a disk's channel
  bool whole = false;              // a batch that is sent once more: it refers to nothing,
  std::vector<CopiedPage> copied;  // but the destination must have made these copies with it
  std::vector<KnownPage> known;    // pages of a batch that can be referred to once it is acknowledged
};

class Outbox {
 public:
  using Frame = std::shared_ptr<const OutFrame>;

  struct Acknowledged {
    Frame frame;
    FlightRoom room;
  };

  Outbox();
  // `room`: of the bytes of the channel that the frame stands for.
  void push(OutFrame frame, FlightRoom room = {});
  // Keeps a frame for its acknowledgement that somebody else sends.
  Frame keep(OutFrame frame, FlightRoom room = {});
  // Whether the guest's last page was given to push().
  bool pages_done() const;
  // Whether a frame, not a disk's, waits that a lane could send, but none is free to take it.
  bool lanes_busy() const;
  // Of the channels' bytes, those in batches that are not encoded yet.
  size_t bytes_to_encode() const;
  // The next frame for a lane to send; null once stop() was called, or end() for the lane.
  Frame pop(size_t lane);
  void end(size_t lane);
  // Queues what an ended lane has taken and is not acknowledged, ahead of all else: batches whole, if they
  // were encoded.
  void requeue(size_t lane);
  // A batch from pop() is encoded now; its acknowledgement brings `known` along, unless it is sent once
  // more, which it is with the copies of `copied`.
  void encoded(const OutFrame& batch, std::span<const KnownPage> known = {},
               std::span<const CopiedPage> copied = {});
  // Batches are no longer in the order of their epochs, so that none may refer to another: none waits any
  // more.
  void lose_order();
  // Queues a batch once more, to be sent whole; false if there is no such batch, or it was asked for before.
  bool again(uint16_t channel, uint64_t sequence);
  // Forgets a frame and returns it; nothing if there is no such frame.
  std::optional<Acknowledged> acknowledge(uint16_t channel, uint64_t sequence);
  // Waits until everything is acknowledged, or that frame; false if stop() was called before.
  bool wait_acknowledged();
  bool wait_acknowledged(uint16_t channel, uint64_t sequence);
  void stop();

 private:
  struct Held {
    std::shared_ptr<OutFrame> frame;
    FlightRoom room;
    std::vector<size_t> lanes;  // that took it
    bool encoded = false;       // a batch; what it was encoded to may be lost
    std::vector<CopiedPage> copied;
    bool asked_again = false;
  };
  static uint64_t key(uint16_t channel, uint64_t sequence) { return uint64_t{channel} << 48 | sequence; }
  static Frame make_whole(Held& held);
  Frame hold(OutFrame frame, FlightRoom room) WHERRY_REQUIRES(mutex_);
  bool ready(const OutFrame& frame) const WHERRY_REQUIRES(mutex_);
  std::deque<Frame>::const_iterator find_ready() const WHERRY_REQUIRES(mutex_);
  Frame take_next() WHERRY_REQUIRES(mutex_);

  mutable Mutex mutex_;
  Condition changed_;
  Condition acknowledged_;
  std::deque<Frame> queue_ WHERRY_GUARDED_BY(mutex_);
  std::deque<Frame> disk_queue_ WHERRY_GUARDED_BY(mutex_);
  size_t since_disk_ WHERRY_GUARDED_BY(mutex_) = 0;    // frames handed out since one of a disk was
  bool pages_done_ WHERRY_GUARDED_BY(mutex_) = false;  // the guest's last page has come
  std::unordered_map<uint64_t, Held> unacknowledged_ WHERRY_GUARDED_BY(mutex_);
  std::set<size_t> ended_ WHERRY_GUARDED_BY(mutex_);                  // lanes
  EpochGate gate_ WHERRY_GUARDED_BY(mutex_);                          // which epochs are all there
  std::map<uint32_t, size_t> not_encoded_ WHERRY_GUARDED_BY(mutex_);  // batches, by epoch
  bool order_lost_ WHERRY_GUARDED_BY(mutex_) = false;
  bool stopped_ WHERRY_GUARDED_BY(mutex_) = false;
};

}  // namespace wherry
