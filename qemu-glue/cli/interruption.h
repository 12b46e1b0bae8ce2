// Ctrl-C, and SIGTERM, as the commands that carry a guest answer them:
//
//   before the destination's QEMU can have the guest   says so, ends the migration and the command: at once,
//   or
//                                                      when QEMU's monitor has been asked to give up
//   later, the first time                              says that the guest may be there already, and waits on
//   later, the second time                             says whom to ask, and ends
//
// exit_status() has what the command ends with.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>

#include "qemu-glue/interrupt.h"
#include "qemu-glue/outcome/outcome.h"

namespace wherry::cli {

inline constexpr const char* kMayBeThere = "the guest may be there already, waiting for QEMU";

class Interruption {
 public:
  // All are called by a thread of this object's.
  struct Answers {
    // Ends the migration, unless the destination's QEMU may have the guest by now: false.
    std::function<bool(const std::string& why)> interrupt;
    // Ends the waiting for what that says of it.
    std::function<void()> leave;
    // Where the command does not end by itself in time: what it must leave behind.
    std::function<void(Outcome outcome, const std::string& why)> last;
    // Whether QEMU's monitor has to be asked to give up, which takes a while.
    std::function<bool()> asks_monitor;
    // What is said when it waits on, and when it does not any more: whom to ask.
    std::string waits;
    std::string leaves;
  };

  // Of a migration between two QEMUs; how to reach the monitors of each.
  static std::string monitors(const std::string& destination, const std::string& source);

  // Must be made before any other thread, as an Interrupt.
  explicit Interruption(Answers answers);
  // The command has ended by itself.
  ~Interruption();

  // How the command ends whose migration ended so: one that failed by a signal was cancelled.
  Outcome outcome(Outcome ended) const;
  int exit_status(Outcome ended) const;

 private:
  void hear(int signal);
  void end_in_time(Outcome outcome, const std::string& why);

  const Answers answers_;
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable ended_;
  bool over_ = false;
  int signal_ = 0;      // the first that came
  bool waits_ = false;  // since it was told that the guest may be there; the signals' thread's
  Interrupt heard_;
};

}  // namespace wherry::cli
