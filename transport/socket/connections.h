// Connections that are served side by side, each by a thread of its own.
//
// Thread-safe.
#pragma once

#include <functional>
#include <limits>
#include <list>
#include <mutex>
#include <thread>

#include "base/fd.h"
#include "base/result.h"

namespace wherry {

class Connections {
 public:
  // Who comes when so many are served already is closed at once.
  explicit Connections(size_t most = std::numeric_limits<size_t>::max()) : most_(most) {}
  // Shuts every connection, and waits until nobody is served any more.
  ~Connections();

  // `work` runs in a thread of its own, and ends soon when the connection is shut. It owns the connection.
  // An Error: there is no room for one more, and the connection stays the caller's.
  Result<> serve(Fd&& connection, std::function<void(Fd connection)> work);
  // Refuses new ones, and shuts those that are there.
  void shut();
  size_t count() const;

 private:
  struct Served {
    Fd connection;  // until its thread takes it
    Fd also;        // the same, to be shut
    std::thread thread;
    bool over = false;
  };
  void reap();

  const size_t most_;
  mutable std::mutex mutex_;
  std::list<Served> served_;
  bool shut_ = false;
};

}  // namespace wherry
