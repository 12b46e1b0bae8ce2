#include "transport/socket/connections.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <string>

#include "tests/base/expect_error.h"
#include "tests/transport/support.h"
#include "transport/socket/socket.h"

namespace wherry {
namespace {

TEST(Connections, AreServedSideBySide) {
  test::Watchdog watchdog("two connections");
  Connections connections("test");
  auto first = test::socket_pair();
  auto second = test::socket_pair();
  for (auto* each : {&first, &second}) {
    ASSERT_TRUE(connections.serve(std::move(each->second), [](const Fd& fd) {
      const std::string said = test::read_all(fd.get());
      (void)send_all(fd.get(), test::bytes_of("heard " + said));
    }));
  }
  EXPECT_EQ(connections.count(), 2u);
  for (auto* each : {&second, &first}) {  // neither waits for the other
    ASSERT_TRUE(send_all(each->first.get(), test::bytes_of("this")));
    ::shutdown(each->first.get(), SHUT_WR);
    EXPECT_EQ(test::read_all(each->first.get()), "heard this");
  }
}

TEST(Connections, EndWhenTheirOwnerGoes) {
  test::Watchdog watchdog("a connection that says nothing");
  std::atomic<bool> ended = false;
  auto ends = test::socket_pair();
  {
    Connections connections("test");
    ASSERT_TRUE(connections.serve(std::move(ends.second), [&](const Fd& fd) {
      test::read_all(fd.get());
      ended = true;
    }));
  }
  EXPECT_TRUE(ended);
  EXPECT_EQ(test::read_all(ends.first.get()), "") << "and it is closed";
}

TEST(Connections, OneThatThereIsNoRoomForIsTheCallersStill) {
  Connections connections("test");
  const auto never = [](const Fd&) { ADD_FAILURE() << "it is served"; };
  auto first = test::socket_pair();
  {
    const test::FewDescriptors none(0);
    EXPECT_ERROR(connections.serve(std::move(first.second), never), "Too many open files");
  }
  EXPECT_TRUE(first.second);
  EXPECT_EQ(connections.count(), 0u);
  EXPECT_TRUE(test::in_a_child([] {
    test::forbid_threads();
    Connections connections("test");
    auto ends = test::socket_pair();
    auto served = connections.serve(std::move(ends.second), [](const Fd&) {});
    return test::fails_with(served, "thread", "ulimit -u") && ends.second;
  }));
}

TEST(Connections, MoreThanAllowedAreClosed) {
  test::Watchdog watchdog("one connection too many");
  Connections connections("test", 1);
  auto first = test::socket_pair();
  auto second = test::socket_pair();
  ASSERT_TRUE(connections.serve(std::move(first.second), [](const Fd& fd) { test::read_all(fd.get()); }));
  EXPECT_TRUE(connections.serve(std::move(second.second), [](const Fd&) {}));
  EXPECT_EQ(test::read_all(second.first.get()), "");
  EXPECT_EQ(connections.count(), 1u);
}

}  // namespace
}  // namespace wherry
