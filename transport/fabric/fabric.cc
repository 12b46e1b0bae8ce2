#include "transport/fabric/fabric.h"

#include <array>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "base/errno.h"

namespace wherry::fabric {
namespace {

// libfabric's registration cache would let the peer read and write all registered memory, whatever it is for,
// and would keep memory registered that Wherry has released. The variable is read once, when libfabric loads
// its providers.
void forbid_cache() {
  static std::once_flag once;
  std::call_once(once, [] { ::setenv("FI_MR_CACHE_MONITOR", "disabled", 1); });
}

// How many pieces of memory one write can gather, in the order in which they are asked for. Many are better,
// because pages lie apart in a channel's stream and each write is acknowledged. A provider grants few unless
// it is asked, and offers no path if it is asked for more than it has.
constexpr std::array<size_t, 3> kPieces{16, 8, 0};

Result<Info> path(const std::string& provider, const std::string& address, const std::string& port,
                  uint64_t flags) {
  forbid_cache();
  const Info hints(fi_allocinfo());
  if (!hints) return fail("out of memory");
  hints->fabric_attr->prov_name = ::strdup(provider.c_str());
  hints->ep_attr->type = FI_EP_MSG;
  hints->caps = FI_MSG | FI_RMA;
  hints->mode = FI_CONTEXT | FI_RX_CQ_DATA;
  hints->domain_attr->mr_mode = FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY;
  hints->addr_format = address.find(':') == std::string::npos ? FI_SOCKADDR_IN : FI_SOCKADDR_IN6;
  fi_info* found = nullptr;
  int code = -FI_ENODATA;
  for (auto pieces = kPieces.begin(); code == -FI_ENODATA && pieces != kPieces.end(); ++pieces) {
    hints->tx_attr->iov_limit = *pieces;
    code = fi_getinfo(FI_VERSION(1, 17), address.c_str(), port.c_str(), flags | FI_NUMERICHOST, hints.get(),
                      &found);
  }
  if (code == -FI_ENODATA) {
    return fail("provider {} has no device that {} {}", provider,
                flags & FI_SOURCE ? "has the address" : "reaches", address);
  }
  if (code != 0) return fail("provider {} at {}: {}", provider, address, reason(code));
  return Info(found);
}

}  // namespace

Result<Info> path_to(const std::string& provider, const std::string& address, uint16_t port) {
  return path(provider, address, std::to_string(port), 0);
}

Result<Info> path_at(const std::string& provider, const std::string& address) {
  return path(provider, address, "0", FI_SOURCE);
}

std::string device(const fi_info& path) {
  return path.domain_attr->name ? path.domain_attr->name : "?";
}

std::string reason(ssize_t code) {
  return fi_strerror(static_cast<int>(-code));
}

}  // namespace wherry::fabric
