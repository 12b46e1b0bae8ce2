// The frames of all channels on their way to the destination: queued for the lanes, then kept until they are
// acknowledged. What a lane had when it was lost is queued again.
//
// Any lane takes the next frame, of whatever channel. The flight window limits what the readers of channels
// can add, so the queue needs no limit of its own. Frames of disks come after all others, but get every
// fourth turn until the guest's last page was queued. From then on the guest is stopped and waits for the
// others, so disks get a turn only if no other frame is ready. A batch is handed out only when all batches of
// earlier epochs are encoded, because it can be encoded as a change of them. Thread-safe.
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
  std::span<const uint8_t> bytes;  // body of a frame that is not a batch
  PageBatch pages;                 // the pages of a batch
  Slot slot;                       // memory of `bytes` or `pages`; may be empty
  std::vector<uint8_t> owned;      // memory of `bytes` if there is no slot
  bool disk = false;               // the frame is of a disk's channel
  bool whole = false;              // a batch that is sent again: encoded without references
  std::vector<CopiedPage> copied;  // copies that the destination has to make of the pages of a whole batch
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
  // `room`: for the bytes of the channel that the frame stands for.
  void push(OutFrame frame, FlightRoom room = {});
  // Keeps a frame until it is acknowledged. The caller sends it.
  Frame keep(OutFrame frame, FlightRoom room = {});
  // Whether the guest's last page was given to push().
  bool pages_done() const;
  // Whether a frame that is not a disk's is ready, and no lane is free to take it.
  bool lanes_busy() const;
  // Bytes of the channels that are in batches which are not encoded yet.
  size_t bytes_to_encode() const;
  // The next frame for a lane to send; null once stop() was called, or end() for the lane.
  Frame pop(size_t lane);
  void end(size_t lane);
  // Queues, ahead of all else, what an ended lane had taken and is not acknowledged. Batches that were
  // encoded are sent whole.
  void requeue(size_t lane);
  // A batch from pop() is encoded now. acknowledge() returns `known` with it, unless it is sent again; then
  // it is sent with `copied`.
  void encoded(const OutFrame& batch, std::span<const KnownPage> known = {},
               std::span<const CopiedPage> copied = {});
  // Batches no longer land in the order of their epochs. So none can refer to another, and none waits for
  // another.
  void lose_order();
  // Queues a batch again, to be sent whole. False if there is no such batch, or it was asked for before.
  bool again(uint16_t channel, uint64_t sequence);
  // Forgets a frame and returns it. Nothing if there is no such frame.
  std::optional<Acknowledged> acknowledge(uint16_t channel, uint64_t sequence);
  // Waits until everything is acknowledged, or that frame; false if stop() was called before.
  bool wait_acknowledged();
  bool wait_acknowledged(uint16_t channel, uint64_t sequence);
  void stop();

 private:
  struct Held {
    std::shared_ptr<OutFrame> frame;
    FlightRoom room;
    std::vector<size_t> lanes;  // numbers of the lanes that took it
    bool encoded = false;       // a batch that was encoded
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
