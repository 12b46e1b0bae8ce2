// The process at the other end of a unix socket. Its number alone would not do: when a process has ended, the
// next may get its number. So it is held by a pidfd, and its number is its own until has_ended().
//
//   auto qemu = PeerProcess::of(…) ─▶ what /proc has of qemu->number() ─▶ !qemu->has_ended(): it was of this
//   process
//
// Thread-safe.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <utility>

#include "base/fd.h"
#include "base/result.h"

namespace wherry {

// When a process began, in clock ticks since the machine did; 0: there is none, or it is not told.
uint64_t start_of(pid_t process);
// Now, in the same unit.
uint64_t ticks_now();

class PeerProcess {
 public:
  // Who has connected, or who listens at the path. `since` is ticks_now() of before the connection was made:
  // a process that began later is not it. (A kernel before Linux 6.5 tells only the number.) An Error: it has
  // ended, is outside this pid namespace, or the connection is not over a unix socket.
  static Result<PeerProcess> of(int connection, uint64_t since);
  // By its number, as such a kernel tells it.
  static Result<PeerProcess> numbered(pid_t number, uint64_t since);

  pid_t number() const { return number_; }
  bool has_ended() const;

 private:
  PeerProcess(pid_t number, Fd pidfd) : number_(number), pidfd_(std::move(pidfd)) {}

  pid_t number_;
  Fd pidfd_;
};

}  // namespace wherry
