#include "qemu-glue/doctor/peer.h"

#include <fcntl.h>
#include <fmt/core.h>

#include <algorithm>
#include <chrono>

#include "qemu-glue/daemon/service.h"
#include "transport/socket/addresses.h"
#include "transport/socket/connect.h"
#include "transport/socket/path_mtu.h"
#include "transport/socket/socket.h"

namespace wherry::doctor {
namespace {

constexpr std::chrono::seconds kPeerPatience{2};
// A wherryd accepts a first frame of at most 16 KiB.
constexpr uint32_t kMostPadding = 15 * 1024;

// The `listen` that the peer needs to be reached: on that host, its name may resolve to other addresses.
std::string as_listen(const std::vector<std::string>& addresses, uint16_t port) {
  std::string uri = "wherry://";
  for (const std::string& address : addresses) {
    if (&address != &addresses.front()) uri += ",";
    uri += Endpoint{.path = {}, .host = address, .port = port}.str();
  }
  return uri;
}

}  // namespace

Result<bool> ask_alive(Fd connection, const Endpoint& at) {
  const uint32_t padding = std::min(packet_size(connection.get()).payload, kMostPadding);
  auto alive =
      daemon::ask_for_service(std::move(connection), at.str(),
                              {{"service", "alive"}, {"padding", std::string(padding, ' ')}}, kPeerPatience);
  if (!alive) return pass_on(alive);
  const auto manages = alive->welcome.find("manages");
  return manages != alive->welcome.end() && *manages == true;
}

Finding peer(const std::string& name, const Endpoint& at) {
  const std::string about = "peer " + name;
  const auto addresses = addresses_of(at.host);
  if (!addresses) {
    return problem(about, "cannot resolve " + at.host,
                   fmt::format("put {} into /etc/hosts or DNS, or give an address instead", at.host));
  }
  const auto begin = std::chrono::steady_clock::now();
  auto connection = connect_to(at, kPeerPatience, kPeerPatience);
  if (!connection) {
    return problem(about, connection.error().message,
                   fmt::format("start wherryd there, with listen = \"{}\", and open TCP port {} to this host",
                               as_listen(*addresses, at.port), at.port));
  }
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
  const Fd kept(::fcntl(connection->get(), F_DUPFD_CLOEXEC, 0));  // to ask the kernel for packet sizes later
  auto manages = ask_alive(std::move(*connection), at);
  if (const auto lost = lost_packets(kept.get()); !manages && lost) {
    return problem(
        about,
        fmt::format(
            "packets of {} bytes, which the MTUs of both ends allow, do not reach {}; smaller ones do", *lost,
            at.str()),
        kLostPacketsRemedy);
  }
  if (!manages) {
    return problem(
        about, manages.error().message,
        fmt::format(
            "name this host there, with the address {}, if its wherryd does not know it; otherwise see what "
            "listens at {} there: it must be a wherryd of this version or later",
            in_uri(numeric_address(kept.get(), End::here)), at.str()));
  }
  if (!*manages) {
    const std::string from = numeric_address(kept.get(), End::here);
    return problem(
        about,
        fmt::format(
            "wherryd at {} does not let {}, which is this host, use libvirt, so no guest goes there through "
            "the gateway",
            at.str(), from),
        fmt::format("name this host there, with the address {} and libvirt = \"manage\", under [peers] of "
                    "wherry.toml or with --peer",
                    in_uri(from)));
  }
  std::string found = fmt::format("wherryd answers at {}, connected in {:.1f} ms", at.str(), took.count());
  if (const PacketSize packet = packet_size(kept.get()); packet.payload <= kMostPadding)
    found += fmt::format(", packets of {} bytes arrive", packet.whole);
  return ok(about, std::move(found));
}

}  // namespace wherry::doctor
