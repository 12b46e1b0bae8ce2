// A process of its own for one migration: what goes wrong in it stays in it, and it outlives a daemon that is
// restarted.
//
// The child has its standard error from us, and as descriptor kChildSocket a socket of which we keep the
// other end. Its standard output comes to us. stop() may be called by any thread; all else by the owner's.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace wherry::daemon {

inline constexpr int kChildSocket = 3;
// For who waits for a line and looks after other things between.
inline constexpr std::chrono::milliseconds kChildLook{500};

class Child {
 public:
  // `argv` begins with the program's path.
  static Result<std::unique_ptr<Child>> spawn(const std::vector<std::string>& argv);
  // Ends it if it runs still, and waits for that.
  ~Child();

  // Waits for the next line of its output, up to `longest`; nothing if none came or it has no more to say.
  enum class Said { line, nothing, end };
  Said read_line(std::string& line, std::chrono::milliseconds longest);
  int socket() const { return socket_.get(); }
  void stop();
  // Waits for its end; how it ended, as a shell has it.
  int wait();
  pid_t pid() const { return pid_; }
  // From now on it runs on when this goes.
  void let_go();

 private:
  Child() = default;
  pid_t pid_ = -1;
  Fd socket_;
  Fd output_;
  std::string unread_;
  std::mutex mutex_;
  bool ended_ = true;  // or has not begun
  bool let_go_ = false;
  int status_ = 0;
};

}  // namespace wherry::daemon
