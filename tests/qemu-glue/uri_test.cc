// Schemes, addresses, provider and bandwidth of a migration URI. test_usage.py has the other keys.
#include "qemu-glue/uri.h"

#include <gtest/gtest.h>

#include "tests/base/expect_error.h"

namespace wherry {
namespace {

using Use = FabricWish::Use;

TEST(Uri, TheSchemeSaysWhetherRdmaIsUsed) {
  EXPECT_EQ(Uri::parse("wherry://hostb")->fabric.use, Use::prefer);
  EXPECT_EQ(Uri::parse("wherry+rdma://hostb:1")->fabric.use, Use::require);
  EXPECT_EQ(Uri::parse("wherry+tcp://[::1]")->fabric.use, Use::never);
  for (const char* text : {"wherry+udp://hostb", "wherry+rdma:hostb", "rdma://hostb"})
    EXPECT_FALSE(Uri::parse(text)) << text;
}

TEST(Uri, TheProviderIsANameOfLibfabrics) {
  EXPECT_EQ(Uri::parse("wherry://hostb")->fabric.provider, "verbs");
  EXPECT_EQ(Uri::parse("wherry://hostb?provider=tcp")->fabric.provider, "tcp");
  for (const char* name : {"", "verbs;ofi_rxm", "^tcp", "a,b", "a name"}) {
    EXPECT_ERROR(Uri::parse(std::string("wherry://hostb?provider=") + name), "libfabric provider") << name;
  }
}

TEST(Uri, ALinksAddressHasItsInterface) {
  for (const char* text : {"wherry://[fe80::1%25eth0]", "wherry://[fe80::1%eth0]:16520"}) {
    auto uri = Uri::parse(text);
    ASSERT_TRUE(uri) << uri.error().message;
    EXPECT_EQ(uri->hosts.front().host, "fe80::1%eth0");
    EXPECT_EQ(uri->hosts.front().str(), "[fe80::1%25eth0]:16520");
  }
  EXPECT_EQ(Uri::parse("wherry://[fe80::1%2525]")->hosts.front().host, "fe80::1%25") << "interface 25";
  for (const char* text :
       {"wherry://[fe80::1]", "wherry://[fe80::1%]", "wherry://[fe80::1%25]", "wherry://[fe80::1%25a%b]"}) {
    EXPECT_ERROR(Uri::parse(text), "[fe80::1%25eth0]") << text;
  }
}

TEST(Uri, BandwidthIsARateOrOff) {
  EXPECT_EQ(Uri::parse("wherry://hostb")->bandwidth, 0u);
  EXPECT_EQ(Uri::parse("wherry://hostb?bandwidth=off")->bandwidth, 0u);
  EXPECT_EQ(parse_bandwidth("2.5Gbps"), 312'500'000u);
  EXPECT_EQ(parse_bandwidth("100Kbps"), 12'500u);
  for (const char* text : {"", "0Gbps", "99Kbps", "20000Gbps", "5", "-1Gbps", "infGbps", "Off"})
    EXPECT_FALSE(parse_bandwidth(text)) << text;
}

}  // namespace
}  // namespace wherry
