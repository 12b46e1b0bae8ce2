#include "qemu-glue/daemon/caller.h"

#include <netinet/in.h>

#include <algorithm>

#include "transport/socket/socket.h"

namespace wherry::daemon {
namespace {

uint16_t port_of_peer(int connection) {
  sockaddr_storage at{};
  socklen_t length = sizeof at;
  if (::getpeername(connection, reinterpret_cast<sockaddr*>(&at), &length) != 0) return 0;
  return ntohs(at.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&at)->sin6_port
                                        : reinterpret_cast<sockaddr_in*>(&at)->sin_port);
}

}  // namespace

Caller Caller::of(int connection, const Config& config) {
  Caller caller;
  caller.host = numeric_address(connection, End::peer);
  caller.port = port_of_peer(connection);
  caller.text = Endpoint{.path = {}, .host = caller.host, .port = caller.port}.str();
  // Who calls one of this host's addresses from this host has the same; but at 127.0.1.1, it has 127.0.0.1.
  caller.is_here = caller.host == numeric_address(connection, End::here) || caller.host == "127.0.0.1";
  if (caller.host.empty()) return caller;  // it has left, and has no address that it could be known by
  caller.libvirt = config.others;
  for (const auto& [name, peer] : config.peers) {
    if (std::none_of(peer.hosts.begin(), peer.hosts.end(),
                     [&](const Endpoint& host) { return host.host == caller.host; }))
      continue;
    caller.peer = name;
    caller.libvirt = peer.libvirt.value_or(LibvirtAccess::none);
    break;
  }
  return caller;
}

Result<> Caller::check_root(const char* what) const {
  // Port 0: the caller has left.
  if (port > 0 && port < IPPORT_RESERVED) return {};
  return fail(
      "{} comes from port {}; {} is only for root of that host, which calls from a port below {}. Does "
      "wherryd run as root there, and without NAT or a tunnel on the way?",
      host, port, what, static_cast<int>(IPPORT_RESERVED));
}

}  // namespace wherry::daemon
