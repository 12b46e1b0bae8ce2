#include "transport/source/dial.h"

namespace wherry {

Result<std::unique_ptr<FrameSocket>> dial(const Endpoint& peer, const SourceOptions& options,
                                          std::chrono::milliseconds timeout, const Event& cancel,
                                          SourcePort from) {
  auto socket = connect_to(peer, timeout, options.silence, &cancel, from);
  if (!socket) {
    return fail("{} (does `{}` run there?)", socket.error().message,
                options.route.empty() ? "wherry receive" : "wherryd");
  }
  auto frames = std::make_unique<FrameSocket>(std::move(*socket), peer.str());
  frames->set_patience(timeout);
  return frames;
}

}  // namespace wherry
