#include "qemu-glue/domain/event_loop.h"

#include <libvirt/libvirt.h>

#include "base/start_thread.h"

namespace wherry::domain {

EventLoop::EventLoop() {
  // Connections work without it, but are not kept alive.
  if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0) return;
  auto loops = start_thread("libvirt events", [this] {
    while (!stopped_ && virEventRunDefaultImpl() == 0) {
    }
  });
  if (loops) thread_ = std::move(*loops);
}

EventLoop::~EventLoop() {
  if (!thread_.joinable()) return;
  stopped_ = true;
  // A timer that is due at once wakes the loop.
  virEventAddTimeout(
      0, [](int timer, void*) { virEventRemoveTimeout(timer); }, nullptr, nullptr);
  thread_.join();
}

}  // namespace wherry::domain
