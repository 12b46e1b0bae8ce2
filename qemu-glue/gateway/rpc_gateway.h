// A proxy between a libvirt client and the libvirt of a migration's destination. It makes migrations go
// through Wherry. It knows no sockets, only the bytes of the two directions of one connection.
//
// libvirt does not accept a wherry:// URI. But only the destination's libvirt checks the migration URI, in
// the call that prepares the migration, and the URI in its reply replaces the one that the source was given.
// So the gateway replaces both by the unix:// path of a route of Wherry. Everything else is passed on
// unchanged and at once, including calls of newer libvirts and bytes that are not RPC.
//
// Not thread-safe: one direction at a time. Never fails.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "qemu-glue/gateway/message_splitter.h"
#include "qemu-glue/gateway/prepare_call.h"

namespace wherry::libvirt {

class RpcGateway {
 public:
  // Returns the unix:// URI for both libvirts, or nothing to leave the migration unchanged. An Error fails
  // the call; the client shows its message. Called by from_client(). The whole connection waits for it,
  // keepalive included, and libvirt closes the connection after half a minute.
  using Route = std::function<Result<std::optional<std::string>>(const MigrationRequest&)>;

  explicit RpcGateway(Route route);
  RpcGateway(const RpcGateway&) = delete;
  RpcGateway& operator=(const RpcGateway&) = delete;

  struct Output {
    std::vector<uint8_t> to_client, to_server;
  };
  // Take the bytes that one side has sent, and append to `out` the bytes to send to each side.
  void from_client(std::span<const uint8_t> bytes, Output& out);
  void from_server(std::span<const uint8_t> bytes, Output& out);

 private:
  void prepare(const MessageHeader& header, std::span<const uint8_t> message, Output& out);
  void refuse(const MessageHeader& header, std::string_view why, Output& out);
  bool is_awaited(const MessageHeader& header) const;
  void prepared(const MessageHeader& header, std::span<const uint8_t> message, Output& out);

  // Limit of changed calls without a reply, on one connection. libvirt itself reads only a few calls ahead.
  static constexpr size_t kMostAwaited = 100;
  struct Awaited {
    uint32_t procedure;
    std::string uri;
  };

  const Route route_;
  MessageSplitter client_;
  MessageSplitter server_;
  std::map<uint32_t, Awaited> awaited_;  // calls that were changed and have no reply yet, by serial
  std::vector<uint8_t> refusals_;        // replies of our own, held until the server's current message ends
};

}  // namespace wherry::libvirt
