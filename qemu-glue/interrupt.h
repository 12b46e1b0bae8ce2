// SIGINT and SIGTERM as a failure: the migration ends like any failed one, with every connection closed.
#pragma once

#include <functional>
#include <string>
#include <thread>

#include "transport/fd.h"

namespace wherry {

// Must be made before any other thread, which inherits the blocked signals. `act` runs once, in a thread of
// its own, with the name of the signal.
class Interrupt {
 public:
  explicit Interrupt(std::function<void(const std::string& signal)> act);
  ~Interrupt();

 private:
  Fd signals_;
  Fd stop_;
  std::thread thread_;
};

}  // namespace wherry
