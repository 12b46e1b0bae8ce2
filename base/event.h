// An event that happens once. Threads wait for it in poll(), together with their sockets. Thread-safe.
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
  // The errno with which it could not be created, or 0. If it is not 0, raise() wakes nobody.
  int error() const { return error_; }
  void raise() const {
    const uint64_t one = 1;
    (void)!::write(fd_.get(), &one, sizeof one);  // if the counter is full, the descriptor is readable anyway
  }
  // Becomes readable with raise(), and stays readable.
  int fd() const { return fd_.get(); }

 private:
  const Fd fd_;
  const int error_;
};

}  // namespace wherry
