#include "qemu-glue/daemon/this_host.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>

#include "transport/socket/addresses.h"

namespace wherry::daemon {
namespace {

std::string host_name() {
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

// An address of this host other than loopback; empty if it has none.
std::string own_address() {
  for (const std::string& address : own_addresses()) {
    if (!is_loopback_address(address) && address.find('%') == std::string::npos) return address;
  }
  return {};
}

Peer peer(const std::string& name, const std::string& address, uint16_t port = kDefaultPort) {
  return {.name = name, .hosts = {{.path = {}, .host = address, .port = port}}};
}

TEST(ThisHost, KnowsItsName) {
  EXPECT_TRUE(is_this_host(peer(host_name(), "203.0.113.1"), {}));
  EXPECT_FALSE(is_this_host(peer(host_name() + "x", "203.0.113.1"), {}));
  EXPECT_FALSE(is_this_host(peer("hostx", "nosuchhost.invalid"), {}));
}

TEST(ThisHost, KnowsItsAddresses) {
  const std::string own = own_address();
  if (own.empty()) GTEST_SKIP() << "this host has only loopback";
  EXPECT_TRUE(is_this_host(peer("hostx", own), {}));
  Config config;
  config.listen.emplace().hosts = {{.path = {}, .host = own, .port = kDefaultPort}};
  EXPECT_TRUE(is_this_host(peer("hostx", own), config));
  EXPECT_FALSE(is_this_host(peer("hostx", own, 1), config)) << "another wherryd, at its own port";
}

TEST(ThisHost, IsNotTheFarEndOfATunnel) {
  for (const char* near : {"127.0.0.1", "::1", "localhost"})
    EXPECT_FALSE(is_this_host(peer("hostx", near), {})) << near;
}

TEST(ThisHost, IsLeftOutOfItsPeers) {
  Config config;
  for (const Peer& each : {peer(host_name(), "203.0.113.1"), peer("hostx", "203.0.113.2")})
    config.peers[each.name] = each;
  EXPECT_THAT(leave_out_this_host(config), testing::ElementsAre(host_name()));
  ASSERT_EQ(config.peers.size(), 1u);
  EXPECT_EQ(config.peers.begin()->first, "hostx");
}

}  // namespace
}  // namespace wherry::daemon
