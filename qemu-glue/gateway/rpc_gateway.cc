#include "qemu-glue/gateway/rpc_gateway.h"

#include <utility>

#include "qemu-glue/gateway/xdr.h"

namespace wherry::libvirt {

RpcGateway::RpcGateway(Route route)
    : route_(std::move(route)),
      client_(PrepareCall::is_one),
      server_([this](const MessageHeader& header) { return is_awaited(header); }) {}

void RpcGateway::from_client(std::span<const uint8_t> bytes, Output& out) {
  while (const auto piece = client_.next(bytes)) {
    if (piece->whole) {
      prepare(*piece->whole, piece->bytes, out);
    } else {
      put_bytes(out.to_server, piece->bytes);
    }
  }
  if (client_.opaque()) put_bytes(out.to_client, server_.give_up());
}

void RpcGateway::from_server(std::span<const uint8_t> bytes, Output& out) {
  while (const auto piece = server_.next(bytes)) {
    if (piece->whole) {
      prepared(*piece->whole, piece->bytes, out);
    } else {
      put_bytes(out.to_client, piece->bytes);
    }
    if (server_.between_messages()) put_bytes(out.to_client, std::exchange(refusals_, {}));
  }
  if (server_.opaque()) put_bytes(out.to_server, client_.give_up());
}

void RpcGateway::prepare(const MessageHeader& header, std::span<const uint8_t> message, Output& out) {
  const auto call = PrepareCall::read(header, message);
  if (!call) return put_bytes(out.to_server, message);
  if (awaited_.size() == kMostAwaited) {
    return refuse(header, "too many migrations at once: the destination's libvirt does not answer", out);
  }
  const auto uri = route_(call->request());
  if (!uri) return refuse(header, uri.error().message, out);
  if (!*uri) return put_bytes(out.to_server, message);
  put_bytes(out.to_server, call->with_uri(**uri));
  awaited_.insert_or_assign(header.serial, Awaited{header.procedure, **uri});
}

void RpcGateway::refuse(const MessageHeader& header, std::string_view why, Output& out) {
  put_bytes(server_.between_messages() ? out.to_client : refusals_, error_reply(header, why));
}

bool RpcGateway::is_awaited(const MessageHeader& header) const {
  if (!header.is_remote() || header.type != MessageType::reply) return false;
  const auto found = awaited_.find(header.serial);
  return found != awaited_.end() && found->second.procedure == header.procedure;
}

void RpcGateway::prepared(const MessageHeader& header, std::span<const uint8_t> message, Output& out) {
  const auto call = awaited_.extract(header.serial);
  std::optional<std::vector<uint8_t>> changed;
  if (header.status == MessageStatus::ok) changed = reply_with_uri(message, call.mapped().uri);
  put_bytes(out.to_client, changed ? *changed : message);
}

}  // namespace wherry::libvirt
