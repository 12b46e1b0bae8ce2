#include "qemu-glue/daemon/carry_both_ways.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <string>
#include <thread>

#include "tests/transport/support.h"
#include "transport/socket/socket.h"

namespace wherry {
namespace {

Carry to(int fd) {
  return [fd](std::span<const uint8_t> bytes) { return send_all(fd, bytes).has_value(); };
}

TEST(CarryBothWays, EachDirectionEndsOnItsOwn) {
  test::Watchdog watchdog("a half-closed connection");
  auto client = test::socket_pair();
  auto server = test::socket_pair();
  std::thread carrying([&] {
    carry_both_ways(client.second.get(), server.first.get(), to(server.first.get()), to(client.second.get()));
  });
  ASSERT_TRUE(send_all(client.first.get(), test::bytes_of("question")));
  ::shutdown(client.first.get(), SHUT_WR);
  EXPECT_EQ(test::read_all(server.second.get()), "question");
  ASSERT_TRUE(send_all(server.second.get(), test::bytes_of("answer")));
  server.second.reset();
  EXPECT_EQ(test::read_all(client.first.get()), "answer");
  carrying.join();
}

TEST(CarryBothWays, WhatCannotBeSentOnEndsBoth) {
  test::Watchdog watchdog("a connection whose other end is gone");
  auto client = test::socket_pair();
  auto server = test::socket_pair();
  std::thread carrying([&] {
    carry_both_ways(
        client.second.get(), server.first.get(), [](auto) { return false; }, to(client.second.get()));
  });
  ASSERT_TRUE(send_all(client.first.get(), test::bytes_of("question")));
  carrying.join();
  EXPECT_EQ(test::read_all(client.first.get()), "");
  EXPECT_EQ(test::read_all(server.second.get()), "");
}

}  // namespace
}  // namespace wherry
