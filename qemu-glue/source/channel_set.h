// The connections of the source's QEMU: what they carry together, and when they have come to an end.
//
// Thread-safe. A reader lives as long as the set, and so does its way back.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/failure.h"
#include "base/fd.h"
#include "base/mutex.h"
#include "qemu-glue/source/channel_reader.h"
#include "qemu-glue/source/source_guest.h"
#include "transport/source/source_session.h"

namespace wherry::qemu {

class ChannelSet {
 public:
  enum class End {
    over,        // all have ended, the main channel among them
    left_early,  // the guest's have ended, and the main one never came: QEMU has given up
    held,        // the session has failed, and QEMU is to notice nothing yet
  };

  ChannelSet(SourceGuest& guest, Failure& failure) : guest_(guest), failure_(failure) {}
  ~ChannelSet() { end(); }

  // Starts a reader for the connection. The session outlives this. If the end has come, or shut(), the
  // connection is closed instead, or QEMU would wait for an answer on it.
  Result<> add(ChannelReader::Carries carries, Fd connection, SourceSession& session);
  // Adds what `next` still has, until that is an empty Fd, and finds out what each connection is. Returns how
  // many take part in epochs.
  Result<uint32_t> settle(const std::function<Result<Fd>()>& next, SourceSession& session);

  // Waits for the end, at most that long. Nothing: it has not come.
  std::optional<End> wait_end(std::chrono::milliseconds longest);
  // Has wait_end() look again: the session has failed.
  void wake();
  // Whether QEMU has closed the main channel: its reader may be busy with what came before.
  bool main_closed() const;
  // How many passes over memory there were, with the one that runs. Nothing: no connection of the guest's is
  // there, nor any that may be one.
  std::optional<uint32_t> passes() const;
  // Where what comes back on a channel of the session goes. Null: the channel is not one of these.
  WayBack* way_back(uint16_t channel);
  // Waits for each connection until what came back is written, at most that long.
  void drain(std::chrono::seconds longest);
  // Ends all connections in both directions, also those that come later,
  void shut();
  // and their readers.
  void end();

 private:
  Result<> start(ChannelReader::Carries carries, Fd connection, SourceSession& session)
      WHERRY_REQUIRES(mutex_);
  std::optional<End> find_end() const WHERRY_REQUIRES(mutex_);
  bool left_early() const WHERRY_REQUIRES(mutex_);
  bool over() const WHERRY_REQUIRES(mutex_);
  bool held() const;

  SourceGuest& guest_;
  Failure& failure_;
  mutable Mutex mutex_;
  Condition changed_;
  // In the order in which they came.
  std::vector<std::unique_ptr<ChannelReader>> channels_ WHERRY_GUARDED_BY(mutex_);
  bool settled_ WHERRY_GUARDED_BY(mutex_) = false;  // settle() was called
  bool closed_ WHERRY_GUARDED_BY(mutex_) = false;   // none is taken any more
};

}  // namespace wherry::qemu
