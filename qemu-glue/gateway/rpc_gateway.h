// What stands between a libvirt client and the libvirt of a migration's destination, and has migrations take
// Wherry's way: it knows no sockets, only the bytes of the two directions of one connection.
//
// A libvirt accepts no wherry:// URI. But only the destination's libvirt looks at it, in the call that makes
// it ready, and the URI in its reply replaces what the source was given. So both are changed on their way to
// a unix:// path, behind which Wherry carries the guest. Everything else goes through unchanged and at once,
// also what a libvirt says that is newer than this, and what is no RPC.
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
  // The URI (unix:///…) at which the source's libvirt and the destination's shall meet, or none to let the
  // migration go as it would. An Error fails the call; the client shows its message. Is called from within
  // from_client(), and all of the connection waits for it, keepalive too: after half a minute a libvirt hangs
  // up.
  using Route = std::function<Result<std::optional<std::string>>(const MigrationRequest&)>;

  explicit RpcGateway(Route route);
  RpcGateway(const RpcGateway&) = delete;
  RpcGateway& operator=(const RpcGateway&) = delete;

  struct Output {
    std::vector<uint8_t> to_client, to_server;
  };
  // Take what a side has sent and append what to send on.
  void from_client(std::span<const uint8_t> bytes, Output& out);
  void from_server(std::span<const uint8_t> bytes, Output& out);

 private:
  void prepare(const MessageHeader& header, std::span<const uint8_t> message, Output& out);
  void refuse(const MessageHeader& header, std::string_view why, Output& out);
  bool is_awaited(const MessageHeader& header) const;
  void prepared(const MessageHeader& header, std::span<const uint8_t> message, Output& out);

  // Calls without a reply, on one connection. libvirt answers a handful before it reads on.
  static constexpr size_t kMostAwaited = 100;
  struct Awaited {
    uint32_t procedure;
    std::string uri;
  };

  const Route route_;
  MessageSplitter client_;
  MessageSplitter server_;
  std::map<uint32_t, Awaited> awaited_;  // replies to the calls that were changed, by serial
  std::vector<uint8_t> refusals_;        // replies of our own, until the server's message has gone through
};

}  // namespace wherry::libvirt
