#include "qemu-glue/domain/event_loop.h"

#include <libvirt/libvirt.h>

namespace wherry::domain {

EventLoop::EventLoop() {
  if (virEventRegisterDefaultImpl() < 0) return;  // out of memory; connections work without
  thread_ = std::thread([this] {
    while (!stopped_ && virEventRunDefaultImpl() == 0) {
    }
  });
}

EventLoop::~EventLoop() {
  stopped_ = true;
  // One that is due at once wakes the loop.
  virEventAddTimeout(
      0, [](int timer, void*) { virEventRemoveTimeout(timer); }, nullptr, nullptr);
  if (thread_.joinable()) thread_.join();
}

}  // namespace wherry::domain
