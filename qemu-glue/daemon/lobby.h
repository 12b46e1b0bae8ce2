// Where a connection at the port of this host waits until it has said what it is for: at most
// kFirstFramePatience, and no more of them than bounds.h says.
//
// One thread serves them all. It does not read from them: bytes stay in the kernel until the first frame is
// complete (first_frame.h). Who can have no business here is refused before that. If descriptors or memory
// run out, the connections that wait are served, and new ones wait in the kernel.
//
// For one thread: run().
#pragma once

#include <chrono>
#include <functional>
#include <list>
#include <optional>
#include <vector>

#include "base/fd.h"
#include "qemu-glue/daemon/caller.h"
#include "qemu-glue/daemon/config.h"
#include "qemu-glue/daemon/refusals.h"
#include "transport/socket/listener.h"
#include "transport/wire/first_frame.h"

namespace wherry::daemon {

class Lobby {
 public:
  // `heard` gets each connection with its first frame, which is still in the socket. All others wait for it.
  using Heard = std::function<void(Fd connection, const Caller& caller, const FirstFrame& first)>;
  Lobby(const Config& config, const Listener& listener, Refusals& refusals, Heard heard)
      : config_(config), listener_(listener), refusals_(refusals), heard_(std::move(heard)) {}

  // Returns when the listener is stopped.
  void run();

 private:
  using Clock = std::chrono::steady_clock;
  struct Waiting {
    Fd connection;
    Caller caller;
    Clock::time_point until;
  };
  bool serve();
  void hear(const std::vector<pollfd>& ready);
  void end_late();
  void accept();
  void admit(Fd connection);
  void make_room(const Caller& caller);
  void refuse(std::list<Waiting>::iterator at, const std::string& why);
  void back_off(const std::string& why);

  const Config& config_;
  const Listener& listener_;
  Refusals& refusals_;
  const Heard heard_;
  std::list<Waiting> waiting_;                   // the oldest first
  std::optional<Clock::time_point> deaf_until_;  // accepts nothing before that
  bool said_ = false;                            // why it is deaf
};

}  // namespace wherry::daemon
