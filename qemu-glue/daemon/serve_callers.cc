#include "qemu-glue/daemon/serve_callers.h"

#include <spdlog/spdlog.h>

#include <utility>

namespace wherry::daemon {

void serve_callers(const Listener& listener, std::chrono::seconds silence, Connections& connections,
                   const std::function<void(Fd)>& work, const std::function<void(Fd)>& alone) {
  bool said = false;
  for (;;) {
    auto connection = listener.accept(silence);
    if (!connection && listener.stopped()) return;
    auto served = connection ? connections.serve(std::move(*connection), work) : pass_on(connection);
    if (!served) {
      if (!std::exchange(said, true))
        spdlog::warn("{}; further connections to {} have to wait", served.error().message,
                     listener.where().str());
      if (alone && connection && *connection) {
        alone(std::move(*connection));
      } else {
        listener.back_off();
      }
    } else {
      said = false;
    }
  }
}

}  // namespace wherry::daemon
