// What the channels of one migration, at the destination, know together about the QEMU that takes the guest.
// Thread-safe.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>

#include "base/failure.h"
#include "base/mutex.h"
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

  // `process` is the QEMU at its other end; -1 if the socket does not tell.
  void main_dialled(pid_t process);
  // Waits until the main channel is dialled; false if the session ended.
  bool wait_main_dialled();
  // The process that takes the guest; -1 before it is dialled, and if the socket does not tell.
  pid_t process() const { return process_; }

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
  std::atomic<pid_t> process_ = -1;
  mutable Mutex mutex_;
  Condition changed_;
  bool dialled_ WHERRY_GUARDED_BY(mutex_) = false;
  bool source_gone_ WHERRY_GUARDED_BY(mutex_) = false;
  bool stopped_ WHERRY_GUARDED_BY(mutex_) = false;
  Ending ending_;
  Failure::Guard closer_;
};

}  // namespace wherry::qemu
