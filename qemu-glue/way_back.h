// What the destination's QEMU says on the main channel, written to the source's QEMU.
//
// A thread and a queue of its own, so that a QEMU that does not read holds back neither acknowledgements nor
// other channels. push() waits only while very much is unread. Thread-safe.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "transport/fd.h"

namespace wherry::qemu {

class WayBack {
 public:
  WayBack();
  ~WayBack();
  // Where to write, once it is known: the connection of this descriptor, which stays its owner's.
  void attach(int connection);
  void push(std::vector<uint8_t> bytes);
  // The destination has closed: half-closes the connection behind all that was pushed.
  void close();
  // Ends at once.
  void stop();

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::vector<uint8_t>> queue_;
  size_t unread_ = 0;
  Fd connection_;
  bool closed_ = false;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace wherry::qemu
