#include "base/start_thread.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "tests/base/expect_error.h"
#include "tests/transport/support.h"

namespace wherry {
namespace {

TEST(StartThread, RunsItsBody) {
  auto ends = test::socket_pair();
  auto thread = start_thread("test", [fd = std::move(ends.second)] { ::shutdown(fd.get(), SHUT_RDWR); });
  ASSERT_TRUE(thread);
  thread->join();
  EXPECT_EQ(test::read_all(ends.first.get()), "");
}

// What the kernel calls a thread of that name.
std::string shown(const ThreadName& name) {
  std::string seen;
  auto thread = start_thread(
      name, [&] { std::getline(std::ifstream(fmt::format("/proc/self/task/{}/comm", ::gettid())), seen); });
  thread->join();
  return seen;
}

TEST(StartThread, NamesIt) {
  EXPECT_EQ(shown("lane 0 watch"), "lane 0 watch");
  EXPECT_EQ(shown("fifteen letters"), "fifteen letters");
  EXPECT_EQ(shown(fmt::format("lane {} watch", 1234567)), "lane 1234567 wa");
}

TEST(StartThread, AJthreadsBodyTakesItsStopToken) {
  auto thread = start_thread<std::jthread>("test", [](const std::stop_token& stop) {
    while (!stop.stop_requested()) std::this_thread::yield();
  });
  ASSERT_TRUE(thread);
  thread->request_stop();
  thread->join();
}

TEST(StartThread, NoRoomIsAnError) {
  EXPECT_TRUE(test::in_a_child([] {
    test::forbid_threads();
    const auto thread = start_thread<std::jthread>("test", [](const std::stop_token&) {});
    return test::fails_with(thread, "ulimit -u", "TasksMax");
  }));
}

}  // namespace
}  // namespace wherry
