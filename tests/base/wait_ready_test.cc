#include "base/wait_ready.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <csignal>

#include "tests/transport/support.h"

namespace wherry {
namespace {

using Clock = std::chrono::steady_clock;

TEST(WaitReady, SaysWhetherSomethingIs) {
  auto [a, b] = test::socket_pair();
  pollfd readable{a.get(), POLLIN, 0};
  auto ready = wait_ready({&readable, 1}, Clock::now());
  EXPECT_TRUE(ready && !*ready);
  ASSERT_EQ(::write(b.get(), "x", 1), 1);
  for (const auto until : {std::optional<Clock::time_point>(), std::optional(Clock::time_point()),
                           std::optional(Clock::time_point::max())}) {
    ready = wait_ready({&readable, 1}, until);
    EXPECT_TRUE(ready && *ready);
  }
}

TEST(WaitReady, AnInterruptionDoesNotShow) {
  test::Watchdog watchdog("a wait that is interrupted");
  struct sigaction nothing {};
  nothing.sa_handler = [](int) {};
  ASSERT_EQ(::sigaction(SIGUSR1, &nothing, nullptr), 0);
  auto [a, b] = test::socket_pair();
  std::atomic<bool> over = false;
  std::thread waits([&, fd = a.get()] {
    pollfd readable{fd, POLLIN, 0};
    auto ready = wait_ready({&readable, 1});
    EXPECT_TRUE(ready && *ready && readable.revents == POLLIN);
    over = true;
  });
  for (int i = 0; i < 20; ++i) {
    ::pthread_kill(waits.native_handle(), SIGUSR1);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_FALSE(over);
  ASSERT_EQ(::write(b.get(), "x", 1), 1);
  waits.join();
}

TEST(WaitReady, AnErrorIsNoSilence) {
  EXPECT_TRUE(test::in_a_child([] {
    rlimit none{};
    ::setrlimit(RLIMIT_NOFILE, &none);
    pollfd one{-1, 0, 0};
    return !wait_ready({&one, 1}, Clock::now());
  }));
}

}  // namespace
}  // namespace wherry
