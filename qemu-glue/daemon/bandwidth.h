// Divides a host's bandwidth among its outgoing migrations, and tells each running `wherry send` its share.
//
// All bandwidths are in bytes per second; 0: no limit.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <thread>
#include <vector>

#include "base/result.h"

namespace wherry::daemon {

// Shares of `total`, in the order of `limits`. All shares are equal, except that a migration gets no more
// than its own limit; the rest goes to the others.
std::vector<uint64_t> divide_bandwidth(uint64_t total, const std::vector<uint64_t>& limits);

// Sends the bandwidth through the socket to `wherry send`. Never waits; no error if that process has ended.
void tell_bandwidth(int socket, uint64_t bandwidth);
// Waits for the next bandwidth; nothing when the other end is closed.
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
