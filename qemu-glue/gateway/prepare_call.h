// The call that prepares a migration at the destination's libvirt: reads its migration URI and replaces it.
// The same for the reply, whose URI is the one that the source uses.
//
// Knows the procedures DOMAIN_MIGRATE_PREPARE, PREPARE2, PREPARE3 and PREPARE3_PARAMS of libvirt's
// remote_protocol.x. (The PREPARE_TUNNEL procedures have no URI: their guests travel inside the RPC.) Views a
// message that it does not own. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "qemu-glue/gateway/rpc_message.h"
#include "qemu-glue/gateway/xdr.h"

namespace wherry::libvirt {

// A client's description of a migration, unchecked. Views the client's message.
struct MigrationRequest {
  std::optional<std::string_view> uri;  // virsh's --migrateuri
  std::string domain;                   // name at the destination; to be shown, not to be relied on
  uint64_t flags = 0;                   // VIR_MIGRATE_…
};

class PrepareCall {
 public:
  static bool is_one(const MessageHeader& header);
  // Nothing if the payload is malformed.
  static std::optional<PrepareCall> read(const MessageHeader& header, std::span<const uint8_t> message);

  const MigrationRequest& request() const { return request_; }
  // The whole message with this URI, which replaces the message's own if it has one.
  std::vector<uint8_t> with_uri(std::string_view uri) const;

 private:
  explicit PrepareCall(std::span<const uint8_t> message) : message_(message) {}
  void read_arguments(XdrReader& in, uint32_t procedure);
  void read_parameters(XdrReader& in);

  std::span<const uint8_t> message_;
  MigrationRequest request_;
  std::optional<uint32_t> parameters_;  // number of typed parameters; nothing in the older procedures
  size_t uri_begin_ = 0, uri_end_ = 0;  // offsets of the URI in the message, or where one would be inserted
};

// `message`, a successful reply to any of these calls, with `uri` for the source to connect to. Nothing if
// its payload is malformed.
std::optional<std::vector<uint8_t>> reply_with_uri(std::span<const uint8_t> message, std::string_view uri);

}  // namespace wherry::libvirt
