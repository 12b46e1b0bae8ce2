#include "qemu-glue/daemon/caller.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include "tests/base/expect_error.h"
#include "tests/transport/socket/endpoints.h"
#include "transport/socket/connect.h"
#include "transport/socket/listener.h"

namespace wherry::daemon {
namespace {

using std::chrono::seconds;

// Who calls from this host itself, with that configuration.
Caller caller(const Config& config) {
  auto listener = Listener::open(wherry::test::tcp("127.0.0.1", 0));
  const auto calls = connect_to(listener->where(), seconds(10), seconds(10));
  const auto taken = listener->accept(seconds(10));
  EXPECT_TRUE(taken && *taken);
  return Caller::of(taken->get(), config);
}

Peer peer(std::string name, const std::string& address, std::optional<LibvirtAccess> libvirt) {
  return {.name = std::move(name), .hosts = {wherry::test::tcp(address, 1)}, .libvirt = libvirt};
}

TEST(Caller, IsWhomTheConfigurationNamesWithItsAddress) {
  Config config;
  config.peers["hostb"] = peer("hostb", "127.0.0.2", LibvirtAccess::read_only);
  config.peers["hostc"] = peer("hostc", "127.0.0.1", LibvirtAccess::manage);
  const Caller named = caller(config);
  EXPECT_EQ(named.peer, "hostc");
  EXPECT_EQ(named.host, "127.0.0.1");
  EXPECT_EQ(named.libvirt, LibvirtAccess::manage);
  config.peers["hostc"].libvirt.reset();
  EXPECT_EQ(caller(config).libvirt, LibvirtAccess::none);
}

TEST(Caller, HasTheRightsOfOthersIfItIsNoPeer) {
  Config config;
  Caller other = caller(config);
  EXPECT_EQ(other.peer, "");
  EXPECT_TRUE(other.is_here);
  EXPECT_FALSE(other.is_stranger(config));
  other.is_here = false;
  EXPECT_TRUE(other.is_stranger(config));
  config.others = LibvirtAccess::read_only;
  EXPECT_FALSE(other.is_stranger(config));
  EXPECT_EQ(caller(config).libvirt, LibvirtAccess::read_only);
}

TEST(Caller, WhoHasLeftHasNoRights) {
  auto listener = Listener::open(wherry::test::tcp("127.0.0.1", 0));
  auto calls = connect_to(listener->where(), seconds(10), seconds(10));
  const auto taken = listener->accept(seconds(10));
  ASSERT_TRUE(calls && taken && *taken);
  const linger at_once{1, 0};
  ::setsockopt(calls->get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  calls->reset();
  pollfd left{taken->get(), 0, 0};
  ASSERT_EQ(::poll(&left, 1, 10'000), 1);
  Config config;
  config.others = LibvirtAccess::manage;
  const Caller nobody = Caller::of(taken->get(), config);
  EXPECT_EQ(nobody.host, "");
  EXPECT_EQ(nobody.libvirt, LibvirtAccess::none);
}

TEST(Caller, IsRootByItsPort) {
  Caller caller{.text = "192.0.2.7:1023", .host = "192.0.2.7", .port = 1023, .peer = "hostb"};
  EXPECT_TRUE(caller.check_root("libvirt"));
  for (const uint16_t port : {uint16_t{1024}, uint16_t{40000}, uint16_t{0}}) {
    caller.port = port;
    EXPECT_ERROR(caller.check_root("libvirt"), "192.0.2.7", "port " + std::to_string(port), "libvirt",
                 "1024");
  }
}

}  // namespace
}  // namespace wherry::daemon
