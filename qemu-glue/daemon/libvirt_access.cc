#include "qemu-glue/daemon/libvirt_access.h"

#include <algorithm>

#include "transport/socket/addresses.h"
#include "transport/socket/connect.h"
#include "transport/socket/endpoint.h"

namespace wherry::daemon {
namespace {

constexpr std::chrono::seconds kConnect{10};

// Whether one of a peer's hosts has that address.
bool has_address(const Endpoint& host, const std::string& address) {
  if (host.host == address) return true;
  const auto all = addresses_of(host.host);
  return all && std::find(all->begin(), all->end(), address) != all->end();
}

}  // namespace

LibvirtAccess libvirt_access(const Config& config, const std::string& address) {
  for (const auto& [name, peer] : config.peers) {
    if (std::any_of(peer.hosts.begin(), peer.hosts.end(),
                    [&](const Endpoint& host) { return has_address(host, address); })) {
      return peer.libvirt;
    }
  }
  return config.others;
}

Result<LibvirtConnection> connect_libvirt(const Config& config, const std::string& address) {
  const LibvirtAccess access = libvirt_access(config, address);
  if (access == LibvirtAccess::none) return fail("{} is not allowed to use this host's libvirt", address);
  const bool read_only = access == LibvirtAccess::read_only;
  const std::string path = config.libvirt + (read_only ? "-ro" : "");
  auto libvirt = connect_to({.path = path, .host = {}, .port = 0}, kConnect, kConnect);
  if (!libvirt) return fail("{}: does libvirt run on this host?", libvirt.error().message);
  return LibvirtConnection{std::move(*libvirt), read_only};
}

}  // namespace wherry::daemon
