// The bandwidth of the migrations that leave a host: what each may have of it, and how one that runs is told.
//
// All in bytes a second; 0: no limit.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <thread>
#include <vector>

#include "base/result.h"

namespace wherry::daemon {

// The same for each, in their order, where `total` is all there is. What one cannot use, because its own
// limit is lower, the others have.
std::vector<uint64_t> divide_bandwidth(uint64_t total, const std::vector<uint64_t>& limits);

// Tells the one at the other end of the socket; it never waits. One that has ended hears nothing.
void tell_bandwidth(int socket, uint64_t bandwidth);
// Waits for what is told next; nothing at the end.
std::optional<uint64_t> hear_bandwidth(int socket);

// Hears what is told, in a thread of its own from start() until this goes.
class BandwidthListener {
 public:
  // `socket` stays its owner's, and open for as long as this; -1: nobody tells anything.
  BandwidthListener(int socket, std::function<void(uint64_t bandwidth)> heard);
  ~BandwidthListener();
  BandwidthListener(const BandwidthListener&) = delete;
  Result<> start();

 private:
  const int socket_;
  const std::function<void(uint64_t bandwidth)> heard_;
  std::thread thread_;
};

}  // namespace wherry::daemon
