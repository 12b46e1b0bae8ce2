// The thread in which libvirt serves its timers and sockets. Make one per process, before the first
// connection, and keep it until the last connection is closed.
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
