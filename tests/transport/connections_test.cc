#include "transport/connections.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <string>

#include "tests/transport/support.h"
#include "transport/socket.h"

namespace wherry {
namespace {

TEST(Connections, AreServedSideBySide) {
  test::Watchdog watchdog("two connections");
  Connections connections;
  auto first = test::socket_pair();
  auto second = test::socket_pair();
  for (auto* each : {&first, &second}) {
    connections.serve(std::move(each->second), [](const Fd& fd) {
      const std::string said = test::read_all(fd.get());
      (void)send_all(fd.get(), test::bytes_of("heard " + said));
    });
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
    Connections connections;
    connections.serve(std::move(ends.second), [&](const Fd& fd) {
      test::read_all(fd.get());
      ended = true;
    });
  }
  EXPECT_TRUE(ended);
  EXPECT_EQ(test::read_all(ends.first.get()), "") << "and it is closed";
}

}  // namespace
}  // namespace wherry
