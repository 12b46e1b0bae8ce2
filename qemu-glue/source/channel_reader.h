// One connection of the source's QEMU: finds out what kind of channel it is and carries its bytes into the
// session, in a thread of its own.
//
//   waiting for the first bytes ─▶ main | multifd | urgent | opaque ─▶ end of stream
//   disk ──────────────────────────────────────────────────────────────▶
//
// The kind shows in the first four bytes, but for a disk's connection, where the other end speaks first. A
// connection that stays silent while postcopy is advised and the main channel is past its setup, or while
// postcopy is being recovered, is the postcopy-preempt channel (QEMU 7.2 opens it early): settle() says so.
//
// The first bytes of the guest's channels go on at once. No more are taken before the destination has dialled
// its QEMU, with those of the main channel in hand, and no page before it has found a place for the blocks: a
// destination that is not there, or is another's, is noticed before any of the guest is on its way.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "base/failure.h"
#include "base/fd.h"
#include "base/mutex.h"
#include "qemu-glue/source/source_guest.h"
#include "qemu-glue/source/way_back.h"
#include "qemu-glue/stream/batcher.h"
#include "qemu-glue/stream/stream_reader.h"
#include "transport/socket/socket.h"
#include "transport/source/source_session.h"

namespace wherry::qemu {

class ChannelReader {
 public:
  enum class Carries { guest, disk };
  // `ended` is called when the stream has ended, as the last thing.
  ChannelReader(Carries carries, Fd connection, SourceSession& session, SourceGuest& guest, Failure& failure,
                std::function<void()> ended);
  ~ChannelReader();
  // Before anything else.
  Result<> start();

  // Waits until the kind is known, unless nothing has come yet; then it is an urgent channel if
  // `urgent_if_silent`.
  void settle(bool urgent_if_silent);
  // Whether this is the main or a multifd channel: those take part in epochs.
  bool in_epochs() const;
  bool is_main() const;
  bool is_disk() const { return carries_ == Carries::disk; }
  bool ended() const { return ended_; }
  uint32_t passes() const;
  // Whether QEMU has closed the connection, which the reader may not have found yet.
  bool qemu_closed() const { return takes_nothing(connection_.get()); }
  // Where what comes back on a channel of the session goes; null if this is not that channel.
  WayBack* way_back(uint16_t channel);
  // Waits until what came back is written, for at most that long.
  void drain(std::chrono::seconds longest);
  // Ends the connection in both directions.
  void shut();

 private:
  enum class Kind { main, multifd, urgent, opaque, disk };

  void run();
  struct Opened;
  std::optional<Kind> first_bytes();
  void open(Kind kind);
  void carry(const Opened& opened);
  void await_dialled(const Opened& opened);
  // Receives at least one byte into `where`; 0 at the end of the stream or of the session.
  size_t receive(const Opened& opened, std::span<uint8_t> where);

  const Carries carries_;
  const Fd connection_;
  SourceSession& session_;
  SourceGuest& guest_;
  const std::function<void()> on_end_;
  WayBack way_back_;

  // What there is once the kind of the connection is known.
  struct Opened {
    Kind kind;
    std::unique_ptr<SourceChannel> channel;
    std::unique_ptr<Batcher> batcher;
    std::unique_ptr<StreamReader> reader;
  };
  // How the stream ended; used by the reader's thread alone.
  struct Leaving {
    bool qemu_left = false;  // QEMU has ended it, and not the session or the destination
    Ending::Heard heard = Ending::Heard::not_known;  // by QEMU before it left
    uint64_t given = 0;  // bytes on the way back that QEMU had when its last bytes were read
  };

  mutable Mutex mutex_;
  Condition kind_known_;
  std::optional<Opened> opened_ WHERRY_GUARDED_BY(mutex_);  // never changes once it is set
  Leaving leaving_;
  std::atomic<bool> ended_ = false;
  // The first byte is a command's: this is the main channel of a postcopy migration that is being recovered.
  bool recovers_ = false;
  std::thread thread_;
};

}  // namespace wherry::qemu
