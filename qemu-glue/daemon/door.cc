#include "qemu-glue/daemon/door.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include "base/start_thread.h"
#include "qemu-glue/daemon/bounds.h"
#include "qemu-glue/daemon/carry_both_ways.h"
#include "qemu-glue/daemon/libvirt_access.h"
#include "qemu-glue/gateway/migration_calls.h"
#include "transport/socket/socket.h"
#include "transport/wire/control.h"
#include "transport/wire/frame_socket.h"

namespace wherry::daemon {
namespace {

constexpr std::chrono::seconds kSilence{30};

std::string service_of(const FirstFrame& first) {
  const auto named = member<std::string>(first.body, "service");
  return first.type == FrameType::service && named ? *named : "";
}

bool is_of_migration(const FirstFrame& first) {
  return first.type == FrameType::hello || first.type == FrameType::lane_hello ||
         first.type == FrameType::last_word;
}

// Reads the first frame, which was only peeked at before.
bool take_first(FrameSocket& socket) {
  FrameHead head;
  return socket.receive_head(head) && socket.receive_body();
}

// Fails only if the peer has gone.
Result<> welcome(FrameSocket& socket, const nlohmann::json& map) {
  return socket.send({.type = FrameType::welcome}, nlohmann::json::to_cbor(map));
}

void welcome(Fd connection, const Caller& caller, const nlohmann::json& map) {
  FrameSocket socket(std::move(connection), caller.text);
  if (take_first(socket)) (void)welcome(socket, map);
}

// Carries a caller's calls to libvirt and the answers back, until either ends or a call may not pass.
Result<> carry_calls(FrameSocket& caller, int libvirt) {
  libvirt::MigrationCalls calls;
  const auto forward = [&](std::span<const uint8_t> bytes) {
    std::vector<uint8_t> pass;
    auto all = calls.take(bytes, pass);
    const bool sent = send_all(libvirt, pass).has_value();
    if (all) return sent;
    spdlog::warn("{} is disconnected from libvirt: {}", caller.peer(), all.error().message);
    return false;
  };
  const auto back = [&](std::span<const uint8_t> bytes) { return send_all(caller.fd(), bytes).has_value(); };
  return carry_both_ways(caller.fd(), libvirt, forward, back);
}

}  // namespace

Result<std::unique_ptr<Door>> Door::open(const Config& config, Arrivals& arrivals) {
  auto listener = Listener::open(config.listen->hosts);
  if (!listener) return pass_on(listener);
  std::unique_ptr<Door> door(new Door(config, arrivals, std::move(*listener)));
  auto accepts = start_thread("door", [&opened = *door] { opened.lobby_.run(); });
  if (!accepts) return pass_on(accepts);
  door->acceptor_ = std::move(*accepts);
  return door;
}

Door::Door(const Config& config, Arrivals& arrivals, Listener listener)
    : config_(config),
      arrivals_(arrivals),
      listener_(std::move(listener)),
      lobby_(config_, listener_, refusals_,
             [this](Fd connection, const Caller& caller, const FirstFrame& first) {
               receive(std::move(connection), caller, first);
             }),
      connections_("door caller") {}

Door::~Door() {
  listener_.stop();
  if (acceptor_.joinable()) acceptor_.join();
}

void Door::receive(Fd connection, const Caller& caller, const FirstFrame& first) {
  tune_tcp(connection.get(), kSilence);
  if (auto answered = answer(connection, caller, first); !answered)
    refusals_.refuse(std::move(connection), caller.text, answered.error().message);
}

// On an Error the caller's connection is still there, to be refused.
Result<> Door::answer(Fd& connection, const Caller& caller, const FirstFrame& first) {
  const std::string service = service_of(first);
  if (service == "alive") {
    welcome(std::move(connection), caller, {{"manages", caller.libvirt == LibvirtAccess::manage}});
    return {};
  }
  if (service == "libvirt") {
    if (auto may = may_use_libvirt(caller); !may) return may;
    return serve(connection, caller, [this, caller](Fd& own) { return serve_libvirt(own, caller); });
  }
  if (service.empty() && !is_of_migration(first)) return fail("a connection does not begin with this frame");
  if (!service.empty() && service != "route")
    return fail("this wherryd does not know that service: update it");
  if (caller.peer.empty()) return fail("{} is not the address of a peer of this wherryd", caller.host);
  if (service == "route") {
    auto announced = arrivals_.announce(caller, first);
    if (!announced) return announced;
    welcome(std::move(connection), caller, nlohmann::json::object());
    return {};
  }
  auto place = arrivals_.admit(caller, first);
  if (!place) return pass_on(place);
  if (!place->begins) return arrivals_.take(*place, connection);
  auto served =
      serve(connection, caller, [this, place = *place](Fd& own) { return arrivals_.begin(place, own); });
  if (!served) arrivals_.give_up(*place);
  return served;
}

// Runs `work` in a thread of its own, if there are not too many already.
Result<> Door::serve(Fd& connection, const Caller& caller, std::function<Result<>(Fd&)> work) {
  {
    Lock lock(mutex_);
    size_t all = 0;
    for (const auto& [peer, count] : served_) all += count;
    if (served_[caller.peer] >= kServedOfOne || all >= kServedOfAll) {
      return fail("too many connections of {} are served here ({}; of all {}): wait until some have ended",
                  caller.host, served_[caller.peer], all);
    }
    ++served_[caller.peer];
  }
  const auto ended = [this, peer = caller.peer] {
    Lock lock(mutex_);
    if (--served_[peer] == 0) served_.erase(peer);
  };
  auto served = connections_.serve(std::move(connection), [=, this](Fd own) {
    try {
      if (auto done = work(own); !done) refusals_.refuse(std::move(own), caller.text, done.error().message);
    } catch (const std::bad_alloc&) {
      refusals_.log(caller.text, "out of memory");
    }
    ended();
  });
  if (!served) ended();
  return served;
}

Result<> Door::serve_libvirt(Fd& connection, const Caller& caller) {
  auto libvirt = connect_libvirt(config_, caller);
  if (!libvirt) return pass_on(libvirt);
  FrameSocket socket(std::move(connection), caller.text);
  if (!take_first(socket) || !welcome(socket, {{"read_only", libvirt->read_only}})) return {};
  ++libvirt_connections_;
  if (auto carried = carry_calls(socket, libvirt->socket.get()); !carried)
    spdlog::warn("{}: {}", socket.peer(), carried.error().message);
  --libvirt_connections_;
  return {};
}

}  // namespace wherry::daemon
