#include "qemu-glue/daemon/service.h"

#include "transport/control.h"

namespace wherry::daemon {

Result<Service> ask_for_service(Fd connection, std::string peer, const std::string& service,
                                std::chrono::milliseconds patience) {
  auto socket = std::make_unique<FrameSocket>(std::move(connection), std::move(peer));
  socket->set_patience(patience);
  const nlohmann::json asked = {{"service", service}};
  if (auto sent = socket->send({.type = FrameType::service}, nlohmann::json::to_cbor(asked)); !sent) {
    return pass_on(sent);
  }
  FrameHead head;
  auto got = socket->receive_head(head);
  if (!got) return pass_on(got);
  if (!*got) return fail("{} closed the connection instead of an answer", socket->peer());
  auto body = socket->receive_body();
  if (!body) return pass_on(body);
  if (head.header.type == FrameType::refuse) return fail("{} refused: {}", socket->peer(), peer_text(*body));
  if (head.header.type != FrameType::welcome) return fail("{} gave no welcome", socket->peer());
  auto map = read_map(*body, socket->peer());
  if (!map) return pass_on(map);
  socket->set_patience({});
  return Service{std::move(socket), std::move(*map)};
}

}  // namespace wherry::daemon
