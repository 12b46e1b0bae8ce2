#include "qemu-glue/daemon/service.h"

#include <nlohmann/json.hpp>

#include "transport/control.h"

namespace wherry::daemon {

Result<std::unique_ptr<FrameSocket>> ask_for_service(Fd connection, std::string peer,
                                                     const std::string& service,
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
  socket->set_patience({});
  return socket;
}

}  // namespace wherry::daemon
