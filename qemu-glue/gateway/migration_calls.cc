#include "qemu-glue/gateway/migration_calls.h"

#include <algorithm>
#include <array>

#include "qemu-glue/gateway/xdr.h"

namespace wherry::libvirt {
namespace {

constexpr uint32_t kKeepalive = 0x6b656570;  // a program of its own

// Procedures of libvirt's remote_protocol.x.
constexpr std::array kNeeded{
    1u,    // CONNECT_OPEN
    2u,    // CONNECT_CLOSE
    23u,   // DOMAIN_LOOKUP_BY_NAME
    60u,   // CONNECT_SUPPORTS_FEATURE
    61u,   // DOMAIN_MIGRATE_PREPARE
    63u,   // DOMAIN_MIGRATE_FINISH
    66u,   // AUTH_LIST
    70u,   // AUTH_POLKIT
    108u,  // DOMAIN_MIGRATE_PREPARE2
    109u,  // DOMAIN_MIGRATE_FINISH2
    110u,  // CONNECT_GET_URI
    148u,  // DOMAIN_MIGRATE_PREPARE_TUNNEL
    214u,  // DOMAIN_MIGRATE_PREPARE3
    215u,  // DOMAIN_MIGRATE_PREPARE_TUNNEL3
    217u,  // DOMAIN_MIGRATE_FINISH3
    303u,  // DOMAIN_MIGRATE_PREPARE3_PARAMS
    304u,  // DOMAIN_MIGRATE_PREPARE_TUNNEL3_PARAMS
    306u,  // DOMAIN_MIGRATE_FINISH3_PARAMS
    360u,  // CONNECT_REGISTER_CLOSE_CALLBACK
    361u,  // CONNECT_UNREGISTER_CLOSE_CALLBACK
};

// A stream belongs to the call with its procedure, as that of --tunnelled does.
bool is_needed(const MessageHeader& header) {
  if (header.program == kKeepalive) return true;
  if (!header.is_remote() || (header.type != MessageType::call && header.type != MessageType::stream))
    return false;
  return std::find(kNeeded.begin(), kNeeded.end(), header.procedure) != kNeeded.end();
}

}  // namespace

MigrationCalls::MigrationCalls()
    : splitter_([this](const MessageHeader& header) {
        if (!refused_ && !is_needed(header)) refused_ = header;
        return false;  // nothing has to be held
      }) {}

Result<> MigrationCalls::take(std::span<const uint8_t> bytes, std::vector<uint8_t>& pass) {
  while (const auto piece = splitter_.next(bytes)) {
    if (splitter_.opaque()) return fail("its bytes are not libvirt's RPC, so they are not looked through");
    if (refused_) {
      return fail(
          "a migration does not need procedure {} (type {}) of program {:#x} of libvirt's RPC; only what it "
          "needs may "
          "be called from another host",
          refused_->procedure, static_cast<uint32_t>(refused_->type), refused_->program);
    }
    put_bytes(pass, piece->bytes);
  }
  return {};
}

}  // namespace wherry::libvirt
