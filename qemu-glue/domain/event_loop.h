// The thread in which libvirt serves timers and sockets of its own. One a process, made before the first
// connection and kept until after the last.
#pragma once

#include <atomic>
#include <thread>

namespace wherry::domain {

class EventLoop {
 public:
  EventLoop();
  ~EventLoop();

 private:
  std::atomic<bool> stopped_ = false;
  std::thread thread_;
};

}  // namespace wherry::domain
