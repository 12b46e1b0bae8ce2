// Starts a thread, or returns an error: the constructor of std::thread throws if the system refuses one.
#pragma once

#include <system_error>
#include <thread>
#include <utility>

#include "base/result.h"

namespace wherry {

template <class Thread = std::thread, class Body>
Result<Thread> start_thread(Body&& body) {
  try {
    return Thread(std::forward<Body>(body));
  } catch (const std::system_error& error) {
    return fail("cannot start a thread: {} (ulimit -u, TasksMax)", error.code().message());
  }
}

}  // namespace wherry
