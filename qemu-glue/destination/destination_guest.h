// What the channels of one migration, at the destination, know together about the QEMU that takes the guest.
// Thread-safe.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>

#include "base/failure.h"
#include "base/mutex.h"
#include "base/peer_process.h"
#include "qemu-glue/outcome/ending.h"
#include "qemu-glue/stream/page_writer.h"
#include "transport/wire/channel.h"

namespace wherry::qemu {

class DestinationGuest {
 public:
  explicit DestinationGuest(Failure& failure);
  ~DestinationGuest();

  // The guest's blocks, and which of them are not written to QEMU once they are placed.
  void set_blocks(const GuestBlocks& blocks, Skip placed);
  const GuestBlocks& blocks() const { return blocks_; }
  const Skip& placed() const { return placed_; }
  bool placing() const;

  // `process` is the QEMU at its other end, if the socket tells.
  void main_dialled(std::optional<PeerProcess> process);
  // Waits until the main channel is dialled; false if the session ended.
  bool wait_main_dialled();
  // The number of the process that takes the guest; -1 before it is dialled, and if the socket does not tell.
  pid_t process() const;
  // It has ended, and its number may be another's by now.
  bool process_ended() const;

  // Who has the guest, by what was written to QEMU and what it says.
  Ending& ending() { return ending_; }
  // QEMU has ended the main channel, in its direction or in both.
  void main_ended(bool both_ways);
  // The source's QEMU has closed the main channel, so nothing that is said here reaches it any more.
  void source_gone();
  // Waits until QEMU has closed the main channel, at most `longest` after the source's QEMU has. False if it
  // had not by then. True also if the session has ended, or the main channel was never dialled.
  bool wait_main_closed(std::chrono::milliseconds longest);

 private:
  bool is_closed() const WHERRY_REQUIRES(mutex_) { return ending_.over() || stopped_ || !dialled_; }

  Failure& failure_;
  GuestBlocks blocks_;  // this and placed_: set before any page comes, constant from then on
  Skip placed_;
  mutable Mutex mutex_;
  Condition changed_;
  std::optional<PeerProcess> process_ WHERRY_GUARDED_BY(mutex_);
  bool dialled_ WHERRY_GUARDED_BY(mutex_) = false;
  bool source_gone_ WHERRY_GUARDED_BY(mutex_) = false;
  bool stopped_ WHERRY_GUARDED_BY(mutex_) = false;
  Ending ending_;
  Failure::Guard closer_;
};

}  // namespace wherry::qemu
