#include "base/start_thread.h"

#include <gtest/gtest.h>

#include "tests/base/expect_error.h"
#include "tests/transport/support.h"

namespace wherry {
namespace {

TEST(StartThread, RunsItsBody) {
  auto ends = test::socket_pair();
  auto thread = start_thread([fd = std::move(ends.second)] { ::shutdown(fd.get(), SHUT_RDWR); });
  ASSERT_TRUE(thread);
  thread->join();
  EXPECT_EQ(test::read_all(ends.first.get()), "");
}

TEST(StartThread, NoRoomIsAnError) {
  EXPECT_TRUE(test::in_a_child([] {
    test::forbid_threads();
    return test::fails_with(start_thread<std::jthread>([] {}), "ulimit -u", "TasksMax");
  }));
}

}  // namespace
}  // namespace wherry
