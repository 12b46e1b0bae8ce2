// What the channels of one migration, at the destination, know together about the QEMU that takes the guest.
// Thread-safe.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>

#include "base/failure.h"
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

  // `process` is that of the QEMU at its other end, if it is told.
  void main_dialled(std::optional<PeerProcess> process);
  // Waits until the main channel is dialled; false if the session ended.
  bool wait_main_dialled();
  // The number of the process that takes the guest; -1 before it is dialled, and if it is not told.
  pid_t process() const;
  // It has ended, and its number may be another's by now.
  bool process_ended() const;

  // Who has the guest, by what was written to QEMU and what it says.
  Ending& ending() { return ending_; }
  // QEMU has ended the main channel, in its direction or in both.
  void main_ended(bool both_ways);
  // So has the source's, for good: nothing that QEMU says reaches it any more.
  void source_gone();
  // Waits until QEMU has left it, for at most so long once the source's has; false if it had not by then.
  // Also ends, with true, when the session does, and where the main channel was never dialled.
  bool wait_main_closed(std::chrono::milliseconds longest);

 private:
  Failure& failure_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  GuestBlocks blocks_;  // set before any page comes, constant from then on
  Skip placed_;
  std::optional<PeerProcess> process_;
  bool dialled_ = false;
  bool source_gone_ = false;
  bool stopped_ = false;
  Ending ending_;
  Failure::Guard closer_;
};

}  // namespace wherry::qemu
