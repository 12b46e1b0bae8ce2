// Connections that are served side by side, each by a thread of its own.
//
// Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <span>
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

// Carries bytes both ways between two sockets until both directions have ended. Each direction ends on its
// own. `forward` and `back` may change what goes from a to b and from b to a: they send it on.
using Carry = std::function<bool(std::span<const uint8_t> bytes)>;
void carry_both_ways(int a, int b, const Carry& forward, const Carry& back);

}  // namespace wherry
