// What the destination's QEMU says on one channel, written to the source's QEMU: the return path of the main
// channel, a TLS handshake on any.
//
// A thread and a queue of its own, so that a QEMU that does not read holds back neither acknowledgements nor
// other channels. push() waits only while very much is unread. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"

namespace wherry::qemu {

class WayBack {
 public:
  // Writes to the connection of this descriptor, which stays its owner's, and open for as long as this.
  // `failed` is called if what was pushed cannot be written for another reason than that the peer has left.
  WayBack(int connection, std::function<void(Error)> failed);
  ~WayBack();
  // Before anything else.
  Result<> start();
  void push(std::vector<uint8_t> bytes);
  // The destination has closed the channel, in its own direction or in both. The connection is closed in the
  // same way, after everything that was pushed.
  void close(bool both_ways);
  // Whether the destination has closed it in both directions.
  bool closed_both_ways() const;
  // How many bytes QEMU has been given. Those it has closed the connection on do not count.
  uint64_t given() const { return given_; }
  // Waits until all that was pushed is written or stop() was called, for at most that long.
  void drain(std::chrono::seconds longest);
  // Ends at once.
  void stop();

 private:
  enum class Open { both_ways, towards_destination, no };
  void run();

  const int connection_;
  const std::function<void(Error)> failed_;
  std::atomic<uint64_t> given_ = 0;
  mutable Mutex mutex_;
  Condition changed_;
  std::deque<std::vector<uint8_t>> queue_ WHERRY_GUARDED_BY(mutex_);
  size_t unread_ WHERRY_GUARDED_BY(mutex_) = 0;
  Open wanted_ WHERRY_GUARDED_BY(mutex_) = Open::both_ways;
  bool stopped_ WHERRY_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace wherry::qemu
