// Handles SIGINT and SIGTERM in a thread.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

namespace wherry {

// Must be constructed before any other thread starts, because threads inherit the blocked signals. `act` runs
// for each signal, in a thread of its own, one at a time. If that thread cannot be started, signals keep
// their default action and end the process.
class Interrupt {
 public:
  explicit Interrupt(std::function<void(int signal)> act);
  ~Interrupt();

 private:
  std::atomic<bool> over_ = false;
  std::thread thread_;
};

}  // namespace wherry
