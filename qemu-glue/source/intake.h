// Takes the connections that the source's QEMU makes to one socket, in a thread of its own.
//
// QEMU waits for a connection that cannot be taken, perhaps with a guest that does not run. So that ends the
// migration. Once the destination's QEMU may have the guest, it ends only that connection: the QEMUs decide
// what it means, and have to know. where(), stop() and next_waiting() may be called by any thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <thread>

#include "base/failure.h"
#include "base/fd.h"
#include "base/reserve.h"
#include "qemu-glue/outcome/ending.h"
#include "transport/socket/endpoint.h"
#include "transport/socket/listener.h"

namespace wherry {

class Intake {
 public:
  struct Options {
    Endpoint at;                   // where QEMU connects
    std::optional<uid_t> user;     // as whom QEMU runs, if that is known
    std::chrono::seconds silence;  // of a TCP connection, after which it counts as dead
    // Takes a connection. Fails if there is no room for it.
    std::function<Result<>(Fd connection)> take;
  };

  // From its return on QEMU may connect.
  static Result<std::unique_ptr<Intake>> open(Options options, const qemu::Ending& ending, Failure& failure);
  ~Intake();
  Result<> start();

  const Endpoint& where() const { return listener_.where(); }
  // The next connection that waits to be taken; an empty Fd: there is none.
  Result<Fd> next_waiting() const { return listener_.accept_waiting(); }
  // Takes no more from now on. Does not wait,
  void stop() const { listener_.stop(); }
  // or waits for the thread.
  void end();

 private:
  Intake(Options options, Listener listener, const qemu::Ending& ending, Failure& failure);
  void run();
  void turn_away();

  const Options options_;
  const Listener listener_;
  const qemu::Ending& ending_;
  Failure& failure_;
  Reserve reserve_;  // a descriptor, for a connection that is turned away
  std::thread thread_;
};

}  // namespace wherry
