#include "qemu-glue/daemon/libvirt_gateway.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <array>

#include "base/mutex.h"
#include "base/printable.h"
#include "base/start_thread.h"
#include "qemu-glue/daemon/bounds.h"
#include "qemu-glue/daemon/carry_both_ways.h"
#include "qemu-glue/daemon/runtime_dir.h"
#include "qemu-glue/daemon/serve_callers.h"
#include "qemu-glue/daemon/service.h"
#include "qemu-glue/gateway/rpc_gateway.h"
#include "transport/socket/addresses.h"
#include "transport/socket/connect.h"
#include "transport/socket/socket.h"
#include "transport/wire/frame_socket.h"

namespace wherry::daemon {
namespace {

using libvirt::RpcGateway;

constexpr std::chrono::seconds kPeerConnect{10};
// How long either end may stay silent: the libvirt client here, or the peer's wherryd.
constexpr std::chrono::seconds kEndSilence{30};
// VIR_MIGRATE_TUNNELLED: the guest travels inside the RPC.
constexpr uint64_t kTunnelled = 1 << 2;
// VIR_MIGRATE_NON_SHARED_DISK, VIR_MIGRATE_NON_SHARED_INC: disks are copied too, with a URI of their own.
constexpr uint64_t kCopiesStorage = 1 << 6 | 1 << 7;

// Connects to a peer's libvirt through its wherryd.
Result<Service> call_libvirt(const Peer& peer) {
  auto fd = connect_to(peer.hosts.front(), kPeerConnect, kEndSilence, nullptr, SourcePort::privileged);
  if (!fd) return fail("{} (does wherryd run there?)", fd.error().message);
  return ask_for_service(std::move(*fd), peer.hosts.front().str(), {{"service", "libvirt"}}, kPeerConnect);
}

// The wherry:// URI of a migration; nothing if the migration is not to go through Wherry.
std::optional<std::string> uri_of(const libvirt::MigrationRequest& request, const Peer& peer) {
  if (request.uri && request.uri->starts_with("wherry")) return std::string(*request.uri);
  // libvirt would need a second path for the disks, which nobody has given.
  if (request.flags & kCopiesStorage) return std::nullopt;
  const bool ours = !request.uri || (!peer.uri.empty() && request.uri->starts_with("tcp:"));
  if (!ours) return std::nullopt;
  return peer.uri.empty() ? "wherry://" + in_uri(peer.name) : peer.uri;
}

// Answers a client's first call with an error, which the client shows as libvirt's own.
void explain(const Fd& client, const std::string& why) {
  std::array<uint8_t, libvirt::kHeadBytes> head;
  auto got = recv_all(client.get(), head);
  if (!got || !*got) return;
  const auto call = libvirt::read_header(head);
  if (!call) return;
  // The rest of the client's bytes stays unread; the client reads the answer nevertheless.
  (void)send_all(client.get(), libvirt::error_reply(*call, why));
  ::shutdown(client.get(), SHUT_WR);
  std::array<uint8_t, 4096> rest;
  while (::recv(client.get(), rest.data(), rest.size(), 0) > 0) {
  }
}

// Both directions of one connection, in two threads, through one gateway.
class Passage {
 public:
  Passage(int client, int server, RpcGateway::Route route)
      : client_(client), server_(server), gateway_(std::move(route)) {}

  Result<> run() {
    return carry_both_ways(
        client_, server_, [this](auto bytes) { return pass(&RpcGateway::from_client, bytes); },
        [this](auto bytes) { return pass(&RpcGateway::from_server, bytes); });
  }

 private:
  bool pass(void (RpcGateway::*direction)(std::span<const uint8_t>, RpcGateway::Output&),
            std::span<const uint8_t> bytes) {
    RpcGateway::Output out;
    Lock changing(changing_);
    (gateway_.*direction)(bytes, out);
    // Both threads can have bytes for either side; the locks keep the order in which the gateway produced
    // them.
    if (!out.to_client.empty() && !out.to_server.empty()) {
      Lock to_client(to_client_);
      Lock to_server(to_server_);
      changing.unlock();
      return send_all(client_, out.to_client) && send_all(server_, out.to_server);
    }
    if (!out.to_client.empty()) {
      Lock to_client(to_client_);
      changing.unlock();
      return send_all(client_, out.to_client).has_value();
    }
    if (!out.to_server.empty()) {
      Lock to_server(to_server_);
      changing.unlock();
      return send_all(server_, out.to_server).has_value();
    }
    return true;
  }

  const int client_;
  const int server_;
  Mutex changing_;
  RpcGateway gateway_ WHERRY_GUARDED_BY(changing_);
  Mutex to_client_;  // held while bytes are sent there
  Mutex to_server_;
};

}  // namespace

LibvirtGateway::LibvirtGateway(const Config& config, const Peer& peer, Routes& routes, Listener listener)
    : config_(config),
      peer_(peer),
      routes_(routes),
      listener_(std::move(listener)),
      connections_("libvirt client", kMostGatewayClients) {}

Result<std::unique_ptr<LibvirtGateway>> LibvirtGateway::open(const Config& config, const Peer& peer,
                                                             Routes& routes) {
  const std::string directory = config.runtime_dir + "/" + peer.name;
  if (auto made = make_host_dir(config.runtime_dir, peer.name); !made) return pass_on(made);
  const std::string path = directory + "/libvirt-sock";
  auto listener = Listener::open({.path = path, .host = {}, .port = 0});
  if (!listener) return pass_on(listener);
  // A client of this socket has the same rights at the peer's libvirt as this host.
  if (auto given = give_socket(path, config.administrators); !given) return pass_on(given);
  std::unique_ptr<LibvirtGateway> gateway(new LibvirtGateway(config, peer, routes, std::move(*listener)));
  auto accepts = start_thread("libvirt gateway", [&opened = *gateway] {
    serve_callers(opened.listener_, kEndSilence, opened.connections_,
                  [&opened](const Fd& client) { opened.serve(client); });
  });
  if (!accepts) return pass_on(accepts);
  gateway->acceptor_ = std::move(*accepts);
  return gateway;
}

LibvirtGateway::~LibvirtGateway() {
  listener_.stop();
  if (acceptor_.joinable()) acceptor_.join();
}

void LibvirtGateway::serve(const Fd& client) {
  auto far = call_libvirt(peer_);
  if (!far) {
    const std::string why = fmt::format("wherry: libvirt of {}: {}", peer_.name, far.error().message);
    spdlog::warn("{}", why);
    return explain(client, why);
  }
  const auto read_only = far->welcome.find("read_only");
  const bool only_reads = read_only != far->welcome.end() && *read_only == true;
  std::vector<Route> made;
  const auto route = [&](const libvirt::MigrationRequest& request) -> Result<std::optional<std::string>> {
    if (only_reads) {
      return fail(
          "wherry: {} gives this host read-only access to its libvirt; for migrations, name this host ({}) "
          "in its wherry.toml under [peers], with libvirt = \"manage\"",
          peer_.name, numeric_address(far->socket->fd(), End::here));
    }
    if (request.flags & kTunnelled) return std::nullopt;
    const auto uri = uri_of(request, peer_);
    if (!uri) return std::nullopt;
    auto made_route = routes_.make(*uri);
    if (!made_route) return fail("wherry: {}", made_route.error().message);
    const std::string path = made_route->path(config_.runtime_dir);
    spdlog::info("domain {} migrates to {} through {}", printable(request.domain), peer_.name, path);
    made.push_back(std::move(*made_route));
    return "unix://" + path;
  };
  if (auto passed = Passage(client.get(), far->socket->fd(), route).run(); !passed)
    spdlog::warn("libvirt of {}: {}", peer_.name, passed.error().message);
  for (const Route& each : made) routes_.drop(each);
}

}  // namespace wherry::daemon
