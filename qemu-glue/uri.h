// The migration URI: SCHEME://HOST[:PORT][,HOST2[:PORT]…][/ROUTE]?key=value&…
//
// Schemes: wherry (RDMA if both ends support it, else TCP), wherry+rdma, wherry+tcp. `provider` is a
// libfabric provider; the default is verbs.
//
// Several hosts are several network paths to the same receiver. An IPv6 address is written in brackets; a
// link-local one needs its interface, as in RFC 6874 ([fe80::1%25eth0]) or getnameinfo(3) ([fe80::1%eth0]).
// An unknown key or a value out of range is an error that names it. docs/man/wherry.1 lists the keys.
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

// Parses a rate like 5Gbps into bytes per second. `off` is 0: no limit.
Result<uint64_t> parse_bandwidth(std::string_view text);

inline constexpr uint16_t kDefaultPort = 16520;

enum class PlacementMode { automatic, direct, relay };
// The value of the key `placement`.
const char* name(PlacementMode mode);
std::optional<PlacementMode> placement_mode(std::string_view name);

// What to do if the downtime target cannot be met.
enum class OnMiss {
  go_on,     // continue the migration unchanged
  postcopy,  // switch to postcopy; needs QEMU's capability postcopy-ram
  pause,     // stop the guest for as long as it takes
  abort,     // cancel the migration; the guest stays
};

struct Uri {
  std::string text;  // the URI as given
  std::vector<Endpoint> hosts;
  std::string route;                        // the migration's route at a wherryd (daemon/route.h), or empty
  uint32_t streams = 2;                     // number of lanes, 1…64
  std::chrono::milliseconds downtime{300};  // downtime target
  uint64_t bandwidth = 0;                   // limit of all lanes together, in bytes per second; 0: no limit
  PlacementMode placement = PlacementMode::automatic;
  Compression compression;
  FabricWish fabric;            // whether and how to use RDMA, from the scheme and `provider`
  double throttle_most = 0.99;  // largest share of the vCPUs' time that throttling may take; 0: none
  OnMiss on_miss = OnMiss::go_on;
  std::chrono::seconds resume{30};  // how long an unreachable peer is waited for

  static Result<Uri> parse(std::string_view text);
  bool is_loopback() const;
};

}  // namespace wherry
