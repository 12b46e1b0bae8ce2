#include "qemu-glue/daemon/service.h"

#include "transport/wire/first_frame.h"

namespace wherry::daemon {

Result<Service> ask_for_service(Fd connection, std::string peer, const nlohmann::json& asked,
                                std::chrono::milliseconds patience) {
  auto socket = std::make_unique<FrameSocket>(std::move(connection), std::move(peer));
  socket->set_patience(patience);
  if (auto sent = socket->send({.type = FrameType::service}, nlohmann::json::to_cbor(asked)); !sent) {
    return pass_on(sent);
  }
  auto welcome = read_welcome(*socket);
  if (!welcome) return pass_on(welcome);
  socket->set_patience({});
  return Service{std::move(socket), std::move(*welcome)};
}

}  // namespace wherry::daemon
