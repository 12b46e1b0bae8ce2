#include "qemu-glue/interrupt.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include <array>
#include <csignal>
#include <cstring>

namespace wherry {

Interrupt::Interrupt(std::function<void(int signal)> act) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signals_ = Fd(signalfd(-1, &set, SFD_CLOEXEC));
  stop_ = Fd(eventfd(0, EFD_CLOEXEC));
  thread_ = std::thread([this, act = std::move(act)] {
    std::array<pollfd, 2> ready{pollfd{signals_.get(), POLLIN, 0}, pollfd{stop_.get(), POLLIN, 0}};
    for (;;) {
      if (poll(ready.data(), ready.size(), -1) < 0) continue;
      signalfd_siginfo info{};
      if (ready[1].revents || ::read(signals_.get(), &info, sizeof info) != sizeof info) return;
      act(static_cast<int>(info.ssi_signo));
    }
  });
}

Interrupt::~Interrupt() {
  const uint64_t one = 1;
  if (::write(stop_.get(), &one, sizeof one) == sizeof one) thread_.join();
}

}  // namespace wherry
