#include "qemu-glue/daemon/this_host.h"

#include <unistd.h>

#include <algorithm>
#include <array>

#include "transport/socket/addresses.h"
#include "transport/socket/endpoint.h"

namespace wherry::daemon {
namespace {

bool listens_at(const Config& config, uint16_t port) {
  return !config.listen || std::any_of(config.listen->hosts.begin(), config.listen->hosts.end(),
                                       [&](const Endpoint& host) { return host.port == port; });
}

bool is_here(const std::string& host) {
  if (is_loopback_name(host)) return true;  // Debian resolves a host's own name to loopback
  const auto all = addresses_of(host);
  if (!all) return false;
  const auto own = own_addresses();
  return std::any_of(all->begin(), all->end(), [&](const std::string& address) {
    return !is_loopback_address(address) && std::find(own.begin(), own.end(), address) != own.end();
  });
}

}  // namespace

bool is_this_host(const Peer& peer, const Config& config) {
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  if (peer.name == name.data()) return true;
  return std::any_of(peer.hosts.begin(), peer.hosts.end(), [&](const Endpoint& host) {
    return listens_at(config, host.port) && is_here(host.host);
  });
}

std::vector<std::string> leave_out_this_host(Config& config) {
  std::vector<std::string> left_out;
  for (const auto& [name, peer] : config.peers) {
    if (is_this_host(peer, config)) left_out.push_back(name);
  }
  for (const std::string& name : left_out) config.peers.erase(name);
  return left_out;
}

}  // namespace wherry::daemon
