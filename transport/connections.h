// Connections that are served side by side, each by a thread of its own.
//
// Thread-safe.
#pragma once

#include <functional>
#include <list>
#include <mutex>
#include <thread>

#include "transport/fd.h"

namespace wherry {

class Connections {
 public:
  // Shuts every connection, and waits until nobody is served any more.
  ~Connections();

  // `work` runs in a thread of its own, and ends soon when the connection is shut. It owns the connection.
  void serve(Fd connection, std::function<void(Fd connection)> work);
  // Refuses new ones, and shuts those that are there.
  void shut();
  size_t count() const;

 private:
  struct Served {
    Fd also;  // the same connection, to be shut
    std::thread thread;
    bool over = false;
  };
  void reap();

  mutable std::mutex mutex_;
  std::list<Served> served_;
  bool shut_ = false;
};

}  // namespace wherry
