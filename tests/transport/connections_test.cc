#include "transport/connections.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <string>

#include "tests/transport/support.h"
#include "transport/socket.h"

namespace wherry {
namespace {

std::array<Fd, 2> pair() {
  std::array<int, 2> fds{};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()), 0);
  return {Fd(fds[0]), Fd(fds[1])};
}

// All that comes until the end.
std::string read_all(int fd) {
  std::string all;
  std::array<char, 4096> bytes;
  for (ssize_t got; (got = ::recv(fd, bytes.data(), bytes.size(), 0)) > 0;)
    all.append(bytes.data(), static_cast<size_t>(got));
  return all;
}

Carry to(int fd) {
  return [fd](std::span<const uint8_t> bytes) { return send_all(fd, bytes).has_value(); };
}

TEST(Connections, AreServedSideBySide) {
  test::Watchdog watchdog("two connections");
  Connections connections;
  auto first = pair();
  auto second = pair();
  for (auto* each : {&first, &second}) {
    connections.serve(std::move((*each)[1]), [](const Fd& fd) {
      const std::string said = read_all(fd.get());
      (void)send_all(fd.get(), test::bytes_of("heard " + said));
    });
  }
  EXPECT_EQ(connections.count(), 2u);
  for (auto* each : {&second, &first}) {  // neither waits for the other
    ASSERT_TRUE(send_all((*each)[0].get(), test::bytes_of("this")));
    ::shutdown((*each)[0].get(), SHUT_WR);
    EXPECT_EQ(read_all((*each)[0].get()), "heard this");
  }
}

TEST(Connections, EndWhenTheirOwnerGoes) {
  test::Watchdog watchdog("a connection that says nothing");
  std::atomic<bool> ended = false;
  auto ends = pair();
  {
    Connections connections;
    connections.serve(std::move(ends[1]), [&](const Fd& fd) {
      read_all(fd.get());
      ended = true;
    });
  }
  EXPECT_TRUE(ended);
  EXPECT_EQ(read_all(ends[0].get()), "") << "and it is closed";
}

TEST(CarryBothWays, EachDirectionEndsOnItsOwn) {
  test::Watchdog watchdog("a half-closed connection");
  auto client = pair();
  auto server = pair();
  std::thread carrying(
      [&] { carry_both_ways(client[1].get(), server[0].get(), to(server[0].get()), to(client[1].get())); });
  ASSERT_TRUE(send_all(client[0].get(), test::bytes_of("question")));
  ::shutdown(client[0].get(), SHUT_WR);
  EXPECT_EQ(read_all(server[1].get()), "question");
  ASSERT_TRUE(send_all(server[1].get(), test::bytes_of("answer")));
  server[1].reset();
  EXPECT_EQ(read_all(client[0].get()), "answer");
  carrying.join();
}

TEST(CarryBothWays, WhatCannotBeSentOnEndsBoth) {
  test::Watchdog watchdog("a connection whose other end is gone");
  auto client = pair();
  auto server = pair();
  std::thread carrying([&] {
    carry_both_ways(
        client[1].get(), server[0].get(), [](auto) { return false; }, to(client[1].get()));
  });
  ASSERT_TRUE(send_all(client[0].get(), test::bytes_of("question")));
  carrying.join();
  EXPECT_EQ(read_all(client[0].get()), "");
  EXPECT_EQ(read_all(server[1].get()), "");
}

}  // namespace
}  // namespace wherry
