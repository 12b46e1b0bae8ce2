#include "qemu-glue/doctor/peer.h"

#include <fmt/core.h>
#include <netdb.h>

#include <chrono>

#include "qemu-glue/daemon/service.h"

namespace wherry::doctor {
namespace {

constexpr std::chrono::seconds kPeerPatience{2};

bool resolves(const std::string& host) {
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), nullptr, nullptr, &found) != 0) return false;
  ::freeaddrinfo(found);
  return true;
}

}  // namespace

Result<bool> ask_alive(Fd connection, const Endpoint& at) {
  auto alive = daemon::ask_for_service(std::move(connection), at.str(), "alive", kPeerPatience);
  if (!alive) return pass_on(alive);
  const auto manages = alive->welcome.find("manages");
  return manages != alive->welcome.end() && *manages == true;
}

Finding peer(const std::string& name, const Endpoint& at) {
  const std::string about = "peer " + name;
  if (!resolves(at.host)) {
    return problem(about, "cannot resolve " + at.host,
                   fmt::format("put {} into /etc/hosts or DNS, or give an address instead", at.host));
  }
  const auto begin = std::chrono::steady_clock::now();
  auto connection = connect_to(at, kPeerPatience, kPeerPatience);
  if (!connection) {
    return problem(
        about, connection.error().message,
        fmt::format("start wherryd there, with listen = \"wherry://{}\", and open TCP port {} to this host",
                    at.str(), at.port));
  }
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
  auto manages = ask_alive(std::move(*connection), at);
  if (!manages) {
    return problem(
        about, manages.error().message,
        fmt::format("see what listens at {} there; it must be a wherryd as new as this one", at.str()));
  }
  if (!*manages) {
    return problem(about, fmt::format("wherryd at {} lets no guest come from this host", at.str()),
                   "name this host there, under [peers] of wherry.toml or with --peer");
  }
  return ok(about, fmt::format("wherryd answers at {}, connected in {:.1f} ms", at.str(), took.count()));
}

}  // namespace wherry::doctor
