#include "qemu-glue/daemon/bandwidth.h"

#include <sys/socket.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "base/start_thread.h"

namespace wherry::daemon {

std::vector<uint64_t> divide_bandwidth(uint64_t total, const std::vector<uint64_t>& limits) {
  if (total == 0) return limits;
  const auto limit = [&](size_t i) {
    return limits[i] > 0 ? limits[i] : std::numeric_limits<uint64_t>::max();
  };
  std::vector<size_t> order(limits.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return limit(a) < limit(b); });
  std::vector<uint64_t> shares(limits.size());
  uint64_t left = total;
  for (size_t i = 0; i < order.size(); ++i) {
    const uint64_t share = std::min(left / (order.size() - i), limit(order[i]));
    left -= share;
    shares[order[i]] = std::max<uint64_t>(share, 1);  // 0 would mean no limit
  }
  return shares;
}

void tell_bandwidth(int socket, uint64_t bandwidth) {
  (void)::send(socket, &bandwidth, sizeof bandwidth, MSG_DONTWAIT | MSG_NOSIGNAL);
}

std::optional<uint64_t> hear_bandwidth(int socket) {
  uint64_t bandwidth = 0;
  if (::recv(socket, &bandwidth, sizeof bandwidth, MSG_WAITALL) != sizeof bandwidth) return std::nullopt;
  return bandwidth;
}

BandwidthListener::BandwidthListener(int socket, std::function<void(uint64_t bandwidth)> heard)
    : socket_(socket), heard_(std::move(heard)) {}

BandwidthListener::~BandwidthListener() {
  if (!thread_.joinable()) return;
  ::shutdown(socket_, SHUT_RD);
  thread_.join();
}

Result<> BandwidthListener::start() {
  if (socket_ < 0) return {};
  auto hears = start_thread("bandwidth", [this] {
    while (auto told = hear_bandwidth(socket_)) heard_(*told);
  });
  if (!hears) return pass_on(hears);
  thread_ = std::move(*hears);
  return {};
}

}  // namespace wherry::daemon
