// Something that happens once, and that threads wait for in poll() beside their sockets. Thread-safe.
#pragma once

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

#include "transport/fd.h"

namespace wherry {

class Event {
 public:
  Event() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  void raise() const {
    const uint64_t one = 1;
    (void)!::write(fd_.get(), &one, sizeof one);  // a counter that is full says so as well
  }
  // Readable from raise() on.
  int fd() const { return fd_.get(); }
  void wait() const {
    pollfd raised{fd(), POLLIN, 0};
    while (::poll(&raised, 1, -1) < 0) continue;
  }

 private:
  const Fd fd_;
};

}  // namespace wherry
