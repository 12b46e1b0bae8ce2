#include "transport/source/open_lanes.h"

#include <thread>

#include "base/start_thread.h"
#include "transport/fabric/fabric_handshake.h"
#include "transport/fabric/fabric_lane_sender.h"
#include "transport/lane/tcp_lane.h"
#include "transport/source/dial.h"
#include "transport/wire/first_frame.h"

namespace wherry {
namespace {

// Thread-safe.
Result<OpenLane> open_lane(size_t number, const std::string& no_fabric, LaneCall& call) {
  const SourceOptions& options = call.options;
  auto socket =
      dial(options.peers[number % options.peers.size()], options, kConnectTimeout, call.failure.event());
  if (!socket) return pass_on(socket);
  auto ends = call.failure.on_fail([frames = socket->get()] { frames->shut(); });
  nlohmann::json hello = {{"token", call.token}, {"lane", number}, {"route", options.route}};
  FabricPath path{nullptr, no_fabric};
  if (path.why_not.empty()) {
    if (auto found = find_fabric(**socket, options.fabric); !found) path.why_not = found.error().message;
  }
  const bool asks = path.why_not.empty();
  if (asks) hello["fabric"] = options.fabric.provider;
  const bool required = options.fabric.use == FabricWish::Use::require;
  if (required) hello["fabric_only"] = true;
  if (auto sent = (*socket)->send({.type = FrameType::lane_hello}, nlohmann::json::to_cbor(hello)); !sent) {
    return pass_on(sent);
  }
  auto welcome = read_welcome(**socket);
  if (!welcome) return pass_on(welcome);
  if (asks) {
    auto called = call_fabric(**socket, *welcome, options.fabric, call.fabrics, call.pool);
    if (!called) return pass_on(called);
    path = std::move(*called);
  }
  (*socket)->set_patience({});
  ends = {};
  OpenLane lane;
  if (path.connection) {
    const auto ports = rdma_ports();
    if (const RdmaPort* port = rdma_port_at(ports, numeric_address((*socket)->fd(), End::here)))
      lane.port = *port;
    path.connection->adopt(std::move(*socket), options.silence);
    lane.sender = std::make_unique<FabricLaneSender>(std::move(path.connection));
  } else if (required) {
    return fail("no RDMA to {}: {}", (*socket)->peer(), path.why_not);
  } else {
    lane.sender = std::make_unique<TcpLaneSender>(std::move(*socket));
    lane.no_fabric = path.why_not;
  }
  if (auto attached = lane.sender->attach(call.pool.memory()); !attached) return pass_on(attached);
  return lane;
}

}  // namespace

Result<std::vector<OpenLane>> open_lanes(LaneCall call) {
  const std::string no_fabric = why_no_fabric(call.options.fabric);
  std::vector<Result<OpenLane>> opened(call.options.lanes);
  std::vector<std::thread> opening;
  for (size_t i = 0; i < opened.size(); ++i) {
    auto opens =
        start_thread(fmt::format("lane {} open", i), [&, i] { opened[i] = open_lane(i, no_fabric, call); });
    if (opens) {
      opening.push_back(std::move(*opens));
    } else {
      opened[i] = pass_on(opens);
    }
  }
  for (std::thread& thread : opening) thread.join();
  std::vector<OpenLane> all;
  for (Result<OpenLane>& lane : opened) {
    if (!lane) return pass_on(lane);
    all.push_back(std::move(*lane));
  }
  return all;
}

}  // namespace wherry
