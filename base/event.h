// Something that happens once, and that threads wait for in poll() beside their sockets. Thread-safe.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "base/fd.h"

namespace wherry {

class Event {
 public:
  Event() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), error_(fd_ ? 0 : errno) {}
  // Why it could not be made, and nobody would hear of it; 0: it was.
  int error() const { return error_; }
  void raise() const {
    const uint64_t one = 1;
    (void)!::write(fd_.get(), &one, sizeof one);  // a counter that is full says so as well
  }
  // Readable from raise() on.
  int fd() const { return fd_.get(); }

 private:
  const Fd fd_;
  const int error_;
};

}  // namespace wherry
