// SIGINT and SIGTERM, heard by a thread.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

namespace wherry {

// Must be made before any other thread, which inherits the blocked signals. `act` runs for each signal that
// comes, in a thread of its own, one at a time. Where there is no room for that thread, a signal ends the
// process as ever.
class Interrupt {
 public:
  explicit Interrupt(std::function<void(int signal)> act);
  ~Interrupt();

 private:
  std::atomic<bool> over_ = false;
  std::thread thread_;
};

}  // namespace wherry
