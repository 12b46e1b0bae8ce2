// The libvirt gateway on hostile bytes of both sides. Input: a byte that says how to cut them, u16 (little
// endian) length of what the client sends, that, then what the server sends.
#include <utility>

#include "qemu-glue/gateway/rpc_gateway.h"
#include "tests/fuzz/checked_events.h"
#include "transport/socket/socket.h"

namespace wherry::libvirt {
namespace {

using Bytes = std::vector<uint8_t>;
constexpr const char* kPath = "unix:///run/wherry/D/1.sock";

RpcGateway::Route always(Result<std::optional<std::string>> answer) {
  return [answer = std::move(answer)](const MigrationRequest&) { return answer; };
}

using Feed = void (RpcGateway::*)(std::span<const uint8_t>, RpcGateway::Output&);

// One step: the front of what a side sends, in memory of its own, so that a sanitizer sees each step outside.
void step(RpcGateway& gateway, Feed feed, std::span<const uint8_t>& bytes, size_t length,
          RpcGateway::Output& out) {
  length = std::min(std::max<size_t>(length, 1), bytes.size());
  const Bytes piece(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length));
  (gateway.*feed)(piece, out);
  bytes = bytes.subspan(length);
}

// All that the client sends, then all that the server does.
RpcGateway::Output in_turn(const RpcGateway::Route& route, std::span<const uint8_t> client,
                           std::span<const uint8_t> server, const std::function<size_t()>& chunk) {
  RpcGateway gateway(route);
  RpcGateway::Output out;
  while (!client.empty()) step(gateway, &RpcGateway::from_client, client, chunk(), out);
  while (!server.empty()) step(gateway, &RpcGateway::from_server, server, chunk(), out);
  return out;
}

bool begins_with(std::span<const uint8_t> all, const Bytes& begin) {
  return begin.size() <= all.size() && std::equal(begin.begin(), begin.end(), all.begin());
}

void run(uint8_t cut, std::span<const uint8_t> client, std::span<const uint8_t> server) {
  const auto whole = [] { return SIZE_MAX; };
  // How the bytes are cut makes no difference.
  for (const auto& route : {always(kPath), always(fail("no route"))}) {
    const auto out = in_turn(route, client, server, whole);
    const auto cut_up = in_turn(route, client, server, qemu::chunks(cut));
    PROMISE(out.to_server == cut_up.to_server && out.to_client == cut_up.to_client);
  }
  // What was changed can be read again, and has the URI.
  size_t asked = 0, asked_again = 0;
  const auto changed = in_turn(
      [&](const MigrationRequest&) -> Result<std::optional<std::string>> {
        ++asked;
        return kPath;
      },
      client, {}, whole);
  in_turn(
      [&](const MigrationRequest& request) -> Result<std::optional<std::string>> {
        PROMISE(request.uri == kPath);
        ++asked_again;
        return std::nullopt;
      },
      changed.to_server, {}, whole);
  PROMISE(asked == asked_again);
  // Without a route nothing is changed, and only what waits for more is held back.
  RpcGateway gateway(always(std::nullopt));
  RpcGateway::Output out;
  const auto chunk = qemu::chunks(cut);
  for (auto left = client, right = server; !left.empty() || !right.empty();) {
    if (!left.empty()) step(gateway, &RpcGateway::from_client, left, chunk(), out);
    if (!right.empty()) step(gateway, &RpcGateway::from_server, right, chunk(), out);
  }
  PROMISE(begins_with(client, out.to_server) && begins_with(server, out.to_client));
  PROMISE(server.size() - out.to_client.size() < kHeadBytes + 4);
}

}  // namespace
}  // namespace wherry::libvirt

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  const std::span<const uint8_t> input(data + 3, size - 3);
  const size_t client = std::min<size_t>(data[1] | data[2] << 8, input.size());
  wherry::libvirt::run(data[0], input.first(client), input.subspan(client));
  return 0;
}
