// The migration URI: SCHEME://HOST[:PORT][,HOST2[:PORT]…][/ROUTE]?key=value&…
//
// Schemes: wherry (RDMA where both ends can, else TCP), wherry+rdma, wherry+tcp. `provider` is one of
// libfabric's, and verbs if not given.
//
// Several hosts are several network paths to the same receiver. An IPv6 address stands in brackets, one of a
// link with its interface, as RFC 6874 writes it ([fe80::1%25eth0]) or as getnameinfo(3) does
// ([fe80::1%eth0]). A key that is unknown or a value out of range is an error that names it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "compression/compression.h"
#include "transport/fabric/fabric_wish.h"
#include "transport/socket/endpoint.h"

namespace wherry {

// A rate like 5Gbps, as bytes a second, or `off`, as 0: no limit.
Result<uint64_t> parse_bandwidth(std::string_view text);

inline constexpr uint16_t kDefaultPort = 16520;

enum class PlacementMode { automatic, direct, relay };
// As the URI has it.
const char* name(PlacementMode mode);
std::optional<PlacementMode> placement_mode(std::string_view name);

// What is done where the downtime target is out of reach.
enum class OnMiss {
  go_on,     // as before
  postcopy,  // the guest goes on at the destination, which fetches what is missing (a capability of QEMU's)
  pause,     // the guest is away for as long as it takes
  abort,     // it stays
};

struct Uri {
  std::string text;  // as it was given
  std::vector<Endpoint> hosts;
  std::string route;                        // at a wherryd: which of its migrations (daemon/route.h)
  uint32_t streams = 2;                     // lanes, 1…64
  std::chrono::milliseconds downtime{300};  // target
  uint64_t bandwidth = 0;                   // bytes a second that all lanes send at most; 0: no limit
  PlacementMode placement = PlacementMode::automatic;
  Compression compression;
  FabricWish fabric;            // what the scheme and `provider` say of RDMA
  double throttle_most = 0.99;  // how much of its processors' time a guest may be denied; 0: none
  OnMiss on_miss = OnMiss::go_on;
  std::chrono::seconds resume{30};  // how long the peer may be unreachable

  static Result<Uri> parse(std::string_view text);
  bool is_loopback() const;
};

}  // namespace wherry
