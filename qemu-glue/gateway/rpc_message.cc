#include "qemu-glue/gateway/rpc_message.h"

#include "base/bytes.h"
#include "qemu-glue/gateway/xdr.h"

namespace wherry::libvirt {
namespace {

// virterror.h
constexpr uint32_t kOperationFailed = 9;  // VIR_ERR_OPERATION_FAILED
constexpr uint32_t kFromRpc = 7;          // VIR_FROM_RPC
constexpr uint32_t kLevelError = 2;       // VIR_ERR_ERROR

}  // namespace

std::optional<MessageHeader> read_header(std::span<const uint8_t> message) {
  XdrReader in(message, kLengthBytes);
  MessageHeader header{};
  header.program = in.u32();
  header.version = in.u32();
  header.procedure = in.u32();
  header.type = static_cast<MessageType>(in.u32());
  header.serial = in.u32();
  header.status = static_cast<MessageStatus>(in.u32());
  if (in.broken() || header.type > MessageType::reply_with_fds || header.status > MessageStatus::more) {
    return std::nullopt;
  }
  return header;
}

std::vector<uint8_t> error_reply(const MessageHeader& call, std::string_view text) {
  std::vector<uint8_t> out(kLengthBytes);
  put_u32(out, call.program);
  put_u32(out, call.version);
  put_u32(out, call.procedure);
  put_u32(out, static_cast<uint32_t>(MessageType::reply));
  put_u32(out, call.serial);
  put_u32(out, static_cast<uint32_t>(MessageStatus::error));
  // virNetMessageError
  put_u32(out, kOperationFailed);
  put_u32(out, kFromRpc);
  put_optional_string(out, text);
  put_u32(out, kLevelError);
  put_u32(out, 0);  // no domain
  for (int i = 0; i < 3; ++i) put_optional_string(out, std::nullopt);
  put_u32(out, 0);  // int1 and int2, unused
  put_u32(out, 0);
  put_u32(out, 0);  // no network
  put_length(out);
  return out;
}

void put_length(std::vector<uint8_t>& message) {
  put_be32(message.data(), static_cast<uint32_t>(message.size()));
}

}  // namespace wherry::libvirt
