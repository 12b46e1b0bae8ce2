// What the channels of one migration, at the source, know together about the guest they carry. Thread-safe.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/event.h"
#include "base/mutex.h"
#include "qemu-glue/outcome/ending.h"
#include "qemu-glue/stream/repeated_pages.h"
#include "transport/wire/channel.h"

namespace wherry::qemu {

class SourceGuest {
 public:
  // Brings the list of channels up to date and returns how many take part in epochs.
  using Settle = std::function<uint32_t()>;

  explicit SourceGuest(Settle settle) : settle_(std::move(settle)) {}

  // The main channel has named the blocks, or never will.
  void publish(const GuestBlocks& blocks);
  void give_up();
  // Waits for one of the two; null if there is no list.
  const GuestBlocks* wait();

  // How large its pages are: QEMU's monitor says it, or is going to when the migration is under way.
  void note_page_size(uint32_t bytes);
  void expect_page_size();
  // Waits for that if it is expected, though not for long.
  std::optional<uint32_t> page_size();

  // The destination's QEMU has been dialled, with the main channel's first bytes, or will never be.
  void note_dialled() { dialled_.raise(); }
  const Event& dialled() const { return dialled_; }

  // True for the first who asks: its channel is the main one.
  bool claim_main() { return !main_claimed_.exchange(true); }
  // Asked by the main channel at its first epoch's end. QEMU's barrier guarantees that by then all channels
  // that take part are connected and have sent their first bytes; the number stays.
  uint32_t participants();

  // The process that writes the channels: QEMU. 0: nothing has come yet, or not over a unix socket.
  void note_process(pid_t process) { process_ = process; }
  pid_t process() const { return process_; }

  // Channels that could not be parsed to their last page, and why.
  void note_opaque(const std::string& channel, const std::string& why);
  std::map<std::string, std::string> opaque() const;
  // The last page of the guest has been read from the main channel.
  void note_pages_done();
  // When; none: it has not.
  std::optional<std::chrono::steady_clock::time_point> pages_done() const;
  // Postcopy was advised: more connections may come, in which the destination fetches pages.
  void note_postcopy() { postcopy_ = true; }
  bool postcopy() const { return postcopy_; }
  RepeatedPages& repeated_pages() { return repeated_pages_; }
  // Who has the guest, by what was sent and what comes back.
  Ending& ending() { return ending_; }
  const Ending& ending() const { return ending_; }

 private:
  std::atomic<bool> main_claimed_ = false;
  const Settle settle_;
  Event dialled_;
  std::optional<uint32_t> participants_;  // the main channel's thread alone asks
  std::atomic<pid_t> process_ = 0;
  std::atomic<bool> postcopy_ = false;
  struct PageSize {
    std::optional<uint32_t> told;
    bool expected = false;
  };
  mutable Mutex mutex_;
  Condition known_;
  PageSize page_size_ WHERRY_GUARDED_BY(mutex_);
  std::optional<GuestBlocks> blocks_ WHERRY_GUARDED_BY(mutex_);
  bool gave_up_ WHERRY_GUARDED_BY(mutex_) = false;
  std::map<std::string, std::string> opaque_ WHERRY_GUARDED_BY(mutex_);
  std::optional<std::chrono::steady_clock::time_point> pages_done_ WHERRY_GUARDED_BY(mutex_);
  RepeatedPages repeated_pages_;
  Ending ending_;
};

}  // namespace wherry::qemu
