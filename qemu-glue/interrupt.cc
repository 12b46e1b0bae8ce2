#include "qemu-glue/interrupt.h"

#include <pthread.h>

#include <csignal>

#include "base/start_thread.h"

namespace wherry {

Interrupt::Interrupt(std::function<void(int signal)> act) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  auto hears = start_thread("signals", [this, set, act = std::move(act)] {
    for (int signal = 0;;) {
      if (sigwait(&set, &signal) != 0) continue;
      if (over_) return;
      act(signal);
    }
  });
  if (hears) {
    thread_ = std::move(*hears);
  } else {
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  }
}

Interrupt::~Interrupt() {
  if (!thread_.joinable()) return;
  over_ = true;
  pthread_kill(thread_.native_handle(), SIGINT);
  thread_.join();
}

}  // namespace wherry
