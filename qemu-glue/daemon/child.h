// A child process for one migration: a crash harms no other migration, and it survives a restart of the
// daemon.
//
// The child inherits standard error, and no other descriptor. Its standard input is empty. Its standard
// output goes to this object. Its descriptor kChildSocket is a socket whose other end is socket(). stop() is
// thread-safe; everything else is for the owner's thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/mutex.h"
#include "base/result.h"

namespace wherry::daemon {

inline constexpr int kChildSocket = 3;
// How long to wait in read_line() for a caller that has other things to check in between.
inline constexpr std::chrono::milliseconds kChildLook{500};

class Child {
 public:
  // `argv` begins with the program's path.
  static Result<std::unique_ptr<Child>> spawn(const std::vector<std::string>& argv);
  // Stops the child if it still runs, and waits for its end.
  ~Child();

  // Waits up to `longest` for the next line of its output. `nothing`: none came in time. `end`: the output is
  // closed.
  enum class Said { line, nothing, end };
  Said read_line(std::string& line, std::chrono::milliseconds longest);
  int socket() const { return socket_.get(); }
  void stop();
  // Waits for its end and returns its status as a shell does: 128 + n after signal n.
  int wait();
  pid_t pid() const { return pid_; }
  // From now on the destructor leaves the child running.
  void let_go();

 private:
  Child() = default;
  pid_t pid_ = -1;
  Fd socket_;
  Fd output_;
  std::string unread_;
  bool let_go_ = false;
  Mutex mutex_;
  bool ended_ WHERRY_GUARDED_BY(mutex_) = true;  // or not started yet
  int status_ WHERRY_GUARDED_BY(mutex_) = 0;
};

}  // namespace wherry::daemon
