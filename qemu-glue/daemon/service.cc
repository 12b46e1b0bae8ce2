#include "qemu-glue/daemon/service.h"

#include "transport/wire/first_frame.h"

namespace wherry::daemon {

Result<Service> ask_for_service(Fd connection, std::string peer, const std::string& service,
                                std::chrono::milliseconds patience, size_t padding) {
  auto socket = std::make_unique<FrameSocket>(std::move(connection), std::move(peer));
  socket->set_patience(patience);
  nlohmann::json asked = {{"service", service}};
  if (padding > 0) asked["padding"] = std::string(padding, ' ');
  if (auto sent = socket->send({.type = FrameType::service}, nlohmann::json::to_cbor(asked)); !sent) {
    return pass_on(sent);
  }
  auto welcome = read_welcome(*socket);
  if (!welcome) return pass_on(welcome);
  socket->set_patience({});
  return Service{std::move(socket), std::move(*welcome)};
}

}  // namespace wherry::daemon
