#include "qemu-glue/doctor/peer.h"

#include <thread>

#include "qemu-glue/daemon/arrivals.h"
#include "qemu-glue/daemon/door.h"
#include "tests/qemu-glue/doctor/support.h"
#include "tests/transport/socket/narrow_socket.h"
#include "transport/socket/listener.h"
#include "transport/socket/socket.h"

namespace wherry::doctor {
namespace {

TEST(DoctorPeer, AWherrydGivesASignOfLife) {
  daemon::Config config;
  config.others = daemon::LibvirtAccess::manage;
  config.listen.emplace().hosts = {kAnyPort};
  daemon::Arrivals arrivals(config, "/nonexistent/wherry");
  auto door = daemon::Door::open(config, arrivals);
  ASSERT_TRUE(door) << door.error().message;
  expect(peer("hostb", (*door)->listener().where()), Level::ok,
         "wherryd answers at " + (*door)->listener().where().str());
}

TEST(DoctorPeer, APeerThatLetsNobodyUseItsLibvirtIsAProblem) {
  daemon::Config config;
  config.listen.emplace().hosts = {kAnyPort};
  daemon::Arrivals arrivals(config, "/nonexistent/wherry");
  auto door = daemon::Door::open(config, arrivals);
  ASSERT_TRUE(door) << door.error().message;
  expect(peer("hostb", (*door)->listener().where()), Level::problem, "does not let 127.0.0.1",
         "libvirt = \"manage\"");
}

TEST(DoctorPeer, WhatIsNotThereIsNamed) {
  Endpoint closed;
  {
    auto listener = Listener::open(kAnyPort);
    ASSERT_TRUE(listener);
    closed = listener->where();
  }
  const Finding down = peer("hostb", closed);
  EXPECT_EQ(down.about, "peer hostb");
  expect(down, Level::problem, "cannot connect to " + closed.str(),
         "open TCP port " + std::to_string(closed.port));
  expect(peer("hostx", {.path = {}, .host = "no.such.host.invalid", .port = 1}), Level::problem,
         "cannot resolve no.such.host.invalid", "/etc/hosts");
}

TEST(DoctorPeer, ATooNarrowWayIsAProblem) {
  const test::NarrowSocket narrow = test::narrow_socket(1200);
  expect(peer("hostb", narrow.where), Level::problem,
         "packets of 1500 bytes, which the MTUs of both ends allow, do not reach " + narrow.where.str(),
         "net.ipv4.tcp_mtu_probing=2");
}

TEST(DoctorPeer, WhoeverElseListensThereIsNoWherryd) {
  auto listener = Listener::open(kAnyPort);
  ASSERT_TRUE(listener);
  for (const std::string said :
       {"HTTP/1.1 400 Bad Request\r\n\r\nIt is at least as long as a header of ours, is it not?\n", ""}) {
    std::thread other([&] {
      auto connection = listener->accept(std::chrono::seconds(1));
      if (connection)
        (void)send_all(connection->get(), {reinterpret_cast<const uint8_t*>(said.data()), said.size()});
    });
    expect(peer("hostb", listener->where()), Level::problem, listener->where().str(), "see what listens");
    other.join();
  }
}

}  // namespace
}  // namespace wherry::doctor
