// The call that makes the destination's libvirt ready for a migration: where it has the migration's URI, and
// how another is put in its place. The same for the reply, whose URI is the one that the source goes by.
//
// Knows the procedures DOMAIN_MIGRATE_PREPARE, PREPARE2, PREPARE3 and PREPARE3_PARAMS of libvirt's
// remote_protocol.x. (PREPARE_TUNNEL and its like have no URI: their guests travel inside the RPC.) Views a
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

// What a client says of a migration, unchecked. Views its message.
struct MigrationRequest {
  std::optional<std::string_view> uri;  // as virsh has it from --migrateuri
  std::string domain;                   // name at the destination; good to show, not to decide on
  uint64_t flags = 0;                   // VIR_MIGRATE_…
};

class PrepareCall {
 public:
  static bool is_one(const MessageHeader& header);
  // None where the payload is not laid out as it should be.
  static std::optional<PrepareCall> read(const MessageHeader& header, std::span<const uint8_t> message);

  const MigrationRequest& request() const { return request_; }
  // The whole message with this URI instead of its own, or of none.
  std::vector<uint8_t> with_uri(std::string_view uri) const;

 private:
  explicit PrepareCall(std::span<const uint8_t> message) : message_(message) {}
  void read_arguments(XdrReader& in, uint32_t procedure);
  void read_parameters(XdrReader& in);

  std::span<const uint8_t> message_;
  MigrationRequest request_;
  std::optional<uint32_t> parameters_;  // how many; none in the procedures of old
  size_t uri_begin_ = 0, uri_end_ = 0;  // where the URI stands, or would
};

// A successful reply to any of these calls, with this URI for the source to connect to. None where its
// payload is not laid out as it should be.
std::optional<std::vector<uint8_t>> reply_with_uri(std::span<const uint8_t> message, std::string_view uri);

}  // namespace wherry::libvirt
