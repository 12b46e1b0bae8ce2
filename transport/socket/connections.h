// Connections that are served at the same time, each by its own thread.
//
// Thread-safe.
#pragma once

#include <functional>
#include <limits>
#include <list>
#include <thread>
#include <utility>

#include "base/fd.h"
#include "base/mutex.h"
#include "base/result.h"
#include "base/start_thread.h"

namespace wherry {

class Connections {
 public:
  // `name` is that of each thread. While `most` connections are served, a new one is closed at once.
  explicit Connections(ThreadName name, size_t most = std::numeric_limits<size_t>::max())
      : name_(std::move(name)), most_(most) {}
  // Shuts all connections, and waits for their threads.
  ~Connections();

  // Runs `work` in its own thread. `work` owns the connection, and has to end soon after that is shut. It may
  // throw std::bad_alloc, which closes the connection. On an
  // Error, descriptors or threads have run out, and the caller still owns the connection.
  Result<> serve(Fd&& connection, std::function<void(Fd connection)> work);
  // From now on closes new connections, and shuts those that are being served.
  void shut();
  size_t count() const;

 private:
  struct Served {
    Fd connection;  // until the thread has started
    Fd also;        // a duplicate of it, for shut()
    std::thread thread;
    bool over = false;
  };
  void reap();

  const ThreadName name_;
  const size_t most_;
  mutable Mutex mutex_;
  std::list<Served> served_ WHERRY_GUARDED_BY(mutex_);
  bool shut_ WHERRY_GUARDED_BY(mutex_) = false;
};

}  // namespace wherry
