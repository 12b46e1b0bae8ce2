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

namespace wherry::qemu {

class WayBack {
 public:
  WayBack();
  ~WayBack();
  // Where to write, once it is known. The descriptor must outlive stop().
  void attach(int fd);
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
  int fd_ = -1;
  bool closed_ = false;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace wherry::qemu
