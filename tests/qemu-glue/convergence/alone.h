// Throttles are this machine's, not the process's: what a test leaves for abandoned() to find, another
// process that runs tests would find too, and take away. So these tests are one at a time on the machine,
// while this lives.
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace wherry::convergence {

class Alone {
 public:
  Alone() : lock_(::open("/tmp/wherry-throttle-tests.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
    ::flock(lock_, LOCK_EX);
  }
  ~Alone() { ::close(lock_); }
  Alone(const Alone&) = delete;
  Alone& operator=(const Alone&) = delete;

 private:
  int lock_;
};

}  // namespace wherry::convergence
