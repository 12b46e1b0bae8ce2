// What the channels of one migration, at the destination, know together about the QEMU that takes the guest.
// Thread-safe.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>

#include "qemu-glue/stream/page_writer.h"
#include "transport/channel.h"
#include "transport/failure.h"

namespace wherry::qemu {

class DestinationGuest {
 public:
  // How a migration ended, as far as its stream tells.
  struct Outcome {
    enum class Kind { completed, failed, unknown } kind;
    std::string detail;
  };

  explicit DestinationGuest(Failure& failure);
  ~DestinationGuest();

  // The guest's blocks, and which of them are not written to QEMU once they are placed.
  void set_blocks(const GuestBlocks& blocks, Skip placed);
  const GuestBlocks& blocks() const { return blocks_; }
  const Skip& placed() const { return placed_; }
  bool placing() const;

  // `process` is that of the QEMU at its other end; -1 if it is not told.
  void main_dialled(pid_t process);
  // Waits until the main channel is dialled; false if the session ended.
  bool wait_main_dialled();
  // The process that takes the guest; -1 before it is dialled, and if it is not told.
  pid_t process() const { return process_; }

  void note_unparsed();  // the main channel is opaque from its first byte
  void note_pages_done();
  void note_opaque();              // the main channel is opaque from here on
  void note_source_closed();       // everything of the main channel is written
  void note_shut(uint32_t value);  // QEMU has told the source how it went
  void note_data_ended();          // everything of a data channel is written
  // QEMU has closed the main channel. Returns why that is a failure, if it is.
  std::optional<Error> note_main_closed();
  // Whether QEMU may close a data channel now.
  bool may_close_data() const;

  // Waits until QEMU has closed the main channel.
  Outcome outcome();

 private:
  Outcome outcome_locked() const;
  bool cut_short() const;

  Failure& failure_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  GuestBlocks blocks_;  // set before any page comes, constant from then on
  Skip placed_;
  bool have_blocks_ = false;
  std::atomic<pid_t> process_ = -1;
  bool dialled_ = false;
  bool unparsed_ = false;
  bool opaque_ = false;
  bool pages_done_ = false;
  bool source_closed_ = false;
  bool source_left_ = false;  // closed, with pages of the guest still to come
  bool data_ended_ = false;
  bool closed_ = false;
  bool stopped_ = false;
  std::optional<uint32_t> shut_;
  Failure::Guard closer_;
};

}  // namespace wherry::qemu
