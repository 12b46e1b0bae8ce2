// SIGINT and SIGTERM, heard by a thread.
#pragma once

#include <functional>
#include <thread>

#include "transport/fd.h"

namespace wherry {

// Must be made before any other thread, which inherits the blocked signals. `act` runs for each signal that
// comes, in a thread of its own, one at a time.
class Interrupt {
 public:
  explicit Interrupt(std::function<void(int signal)> act);
  ~Interrupt();

 private:
  Fd signals_;
  Fd stop_;
  std::thread thread_;
};

}  // namespace wherry
