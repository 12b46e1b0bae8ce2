// How the commands that carry a guest react to SIGINT (Ctrl-C) and SIGTERM:
//
//   before the destination's QEMU can have the guest   end the migration, after asking QEMU's monitor to
//                                                      cancel if need be, and the command
//   later, the first signal                            warn that the guest may be there, and keep waiting
//   later, the second signal                           say whom to ask, and end
//
// exit_status() is the exit status of the command.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "base/mutex.h"
#include "qemu-glue/interrupt.h"
#include "qemu-glue/outcome/outcome.h"

namespace wherry::cli {

inline constexpr const char* kMayBeThere = "the guest may be there already, waiting for QEMU";

class Interruption {
 public:
  // All functions are called by this object's thread.
  struct Answers {
    // Ends the migration. False, and no effect, if the destination's QEMU may have the guest by now.
    std::function<bool(const std::string& why)> interrupt;
    // Stops waiting for the answer of the destination's QEMU.
    std::function<void()> leave;
    // Writes what must be written before the process exits; called if the command does not end by itself in
    // time.
    std::function<void(Outcome outcome, const std::string& why)> last;
    // Whether QEMU's monitor has to be asked to cancel, which takes up to two seconds.
    std::function<bool()> asks_monitor;
    // Message when it keeps waiting.
    std::string waits;
    // Message when it stops waiting: whom to ask.
    std::string leaves;
  };

  // `Answers::leaves` of a migration between two QEMUs. The arguments say how to reach each QEMU's monitor.
  static std::string monitors(const std::string& destination, const std::string& source);

  // Must be constructed before any other thread starts, like Interrupt.
  explicit Interruption(Answers answers);
  // To be destroyed when the command has ended by itself.
  ~Interruption();

  // The command's outcome, given that of its migration: one that failed after a signal was cancelled.
  Outcome outcome(Outcome ended) const;
  int exit_status(Outcome ended) const;

 private:
  void hear(int signal);
  void end_in_time(Outcome outcome, const std::string& why);

  const Answers answers_;
  mutable Mutex mutex_;
  Condition ended_;
  bool over_ WHERRY_GUARDED_BY(mutex_) = false;
  int signal_ WHERRY_GUARDED_BY(mutex_) = 0;  // the first signal
  bool waits_ = false;  // it has warned that the guest may be there; only for the signals' thread
  Interrupt heard_;
};

}  // namespace wherry::cli
