// Starts a thread with a name, or returns an error: the constructor of std::thread throws if the system
// refuses one or memory has run out.
//
// The name is what `top -H`, `ps -L` and /proc/PID/task/*/comm show: the thread's role, with its number if
// there are several, such as "lane 0" and "lane 0 watch". The kernel keeps 15 bytes of it.
#pragma once

#include <pthread.h>

#include <new>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "base/result.h"

namespace wherry {

class ThreadName {
 public:
  static constexpr size_t kLongest = 15;

  template <size_t kSize>
  ThreadName(const char (&name)[kSize]) : name_(name) {
    static_assert(kSize <= kLongest + 1, "a thread's name has at most 15 bytes");
  }
  // A longer one is cut.
  ThreadName(std::string name) : name_(std::move(name)) {
    if (name_.size() > kLongest) name_.resize(kLongest);
  }

  // Names the thread that calls this.
  void take() const { pthread_setname_np(pthread_self(), name_.c_str()); }

 private:
  std::string name_;
};

// The body of a std::jthread takes its stop token.
template <class Thread = std::thread, class Body>
Result<Thread> start_thread(ThreadName name, Body&& body) {
  auto named = [name = std::move(name), body = std::forward<Body>(body)](const auto&... stop) mutable {
    name.take();
    body(stop...);
  };
  try {
    return Thread(std::move(named));
  } catch (const std::system_error& error) {
    return fail("cannot start a thread: {} (ulimit -u, TasksMax)", error.code().message());
  } catch (const std::bad_alloc&) {
    return fail("cannot start a thread: out of memory");
  }
}

}  // namespace wherry
