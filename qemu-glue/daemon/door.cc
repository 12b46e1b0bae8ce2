#include "qemu-glue/daemon/door.h"

#include <spdlog/spdlog.h>

#include "base/start_thread.h"
#include "qemu-glue/daemon/carry_both_ways.h"
#include "qemu-glue/daemon/libvirt_access.h"
#include "qemu-glue/daemon/serve_callers.h"
#include "transport/socket/socket.h"
#include "transport/wire/control.h"
#include "transport/wire/frame_socket.h"

namespace wherry::daemon {
namespace {

constexpr std::chrono::seconds kSilence{30};
// Limit of connections that wait for their first frame or go to libvirt. Further ones are closed at once.
constexpr size_t kMostConnections = 500;

// The host of "host:port". An IPv4 address that came to an IPv6 socket is returned as IPv4.
std::string host_of(const std::string& peer) {
  std::string host = peer.substr(0, peer.rfind(':'));
  if (host.starts_with("::ffff:")) host.erase(0, 7);
  return host;
}

std::string service_of(const FirstFrame& first) {
  const auto named = member<std::string>(first.body, "service");
  return first.type == FrameType::service && named ? *named : "";
}

// Reads the first frame, which was only peeked at before.
bool take_first(FrameSocket& socket) {
  FrameHead head;
  return socket.receive_head(head) && socket.receive_body();
}

Result<> welcome(FrameSocket& socket, const nlohmann::json& map) {
  return socket.send({.type = FrameType::welcome}, nlohmann::json::to_cbor(map));
}

}  // namespace

Result<std::unique_ptr<Door>> Door::open(const Config& config, Arrivals& arrivals) {
  auto listener = Listener::open(config.listen->hosts);
  if (!listener) return pass_on(listener);
  std::unique_ptr<Door> door(new Door(config, arrivals, std::move(*listener)));
  auto accepts = start_thread("door", [&opened = *door] {
    serve_callers(opened.listener_, kSilence, opened.connections_,
                  [&opened](Fd fd) { opened.receive(std::move(fd)); });
  });
  if (!accepts) return pass_on(accepts);
  door->acceptor_ = std::move(*accepts);
  return door;
}

Door::Door(const Config& config, Arrivals& arrivals, Listener listener)
    : config_(config),
      arrivals_(arrivals),
      listener_(std::move(listener)),
      connections_("door caller", kMostConnections) {}

Door::~Door() {
  listener_.stop();
  if (acceptor_.joinable()) acceptor_.join();
}

void Door::receive(Fd connection) {
  const std::string peer = peer_address(connection.get());
  // What it may do goes by its address, which one that has left does not have any more.
  if (numeric_address(connection.get(), End::peer).empty()) return;
  auto first = peek_first_frame(connection.get(), peer, kFirstFramePatience);
  Result<> taken;
  if (!first) {
    taken = pass_on(first);
  } else if (first->type == FrameType::hello || first->type == FrameType::lane_hello ||
             first->type == FrameType::last_word) {
    taken = arrivals_.take(connection, *first);
    if (taken) return;
  } else if (const auto service = service_of(*first); service == "libvirt") {
    return serve_libvirt(std::move(connection), peer);
  } else if (service == "alive") {
    FrameSocket socket(std::move(connection), peer);
    if (take_first(socket))
      (void)welcome(socket, {{"manages", libvirt_access(config_, host_of(peer)) ==
                                             LibvirtAccess::manage}});  // it fails only if the peer has gone
    return;
  } else {
    taken = fail("this wherryd does not know that service: update it");
  }
  spdlog::info("{} is refused: {}", peer, taken.error().message);
  FrameSocket(std::move(connection), peer).refuse(taken.error().message);
}

void Door::serve_libvirt(Fd connection, const std::string& peer) {
  FrameSocket socket(std::move(connection), peer);
  if (!take_first(socket)) return;
  auto libvirt = connect_libvirt(config_, host_of(peer));
  if (!libvirt) {
    spdlog::info("{} is refused: {}", peer, libvirt.error().message);
    return socket.refuse(libvirt.error().message);
  }
  if (!welcome(socket, {{"read_only", libvirt->read_only}})) return;
  ++libvirt_connections_;
  const auto to = [](int fd) {
    return [fd](std::span<const uint8_t> bytes) { return send_all(fd, bytes).has_value(); };
  };
  const int server = libvirt->socket.get();
  if (auto carried = carry_both_ways(socket.fd(), server, to(server), to(socket.fd())); !carried)
    spdlog::warn("{}: {}", socket.peer(), carried.error().message);
  --libvirt_connections_;
}

}  // namespace wherry::daemon
