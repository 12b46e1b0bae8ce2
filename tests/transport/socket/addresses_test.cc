#include "transport/socket/addresses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/base/expect_error.h"

namespace wherry {
namespace {

using testing::Contains;
using testing::ElementsAre;

TEST(Addresses, AnAddressStandsForItself) {
  EXPECT_THAT(*addresses_of("192.0.2.1"), ElementsAre("192.0.2.1"));
  EXPECT_THAT(*addresses_of("2001:db8:0::1"), ElementsAre("2001:db8::1"));
  EXPECT_THAT(*addresses_of("::ffff:192.0.2.1"), ElementsAre("192.0.2.1"));
  EXPECT_THAT(*addresses_of("fe80::1%lo"), ElementsAre("fe80::1%lo"));
  EXPECT_FALSE(addresses_of("fe80::1%nosuchlink"));
}

TEST(Addresses, ANameStandsForItsAddresses) {
  EXPECT_THAT(*addresses_of("localhost"), Contains("127.0.0.1"));
  EXPECT_ERROR(addresses_of("nosuchhost.invalid"), "resolve", "nosuchhost.invalid");
}

TEST(Addresses, AreToldFromNames) {
  EXPECT_EQ(numeric("192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(numeric("FD98:0::2"), "fd98::2") << "as connections have it";
  EXPECT_EQ(numeric("::ffff:192.0.2.7"), "192.0.2.7");
  for (const char* name : {"localhost", "hostb.example.org", "", "192.0.2.7 "}) EXPECT_FALSE(numeric(name)) << name;
}

TEST(Addresses, ThoseOfThisHostAreItsInterfaces) {
  EXPECT_THAT(own_addresses(), Contains("127.0.0.1"));
  EXPECT_THAT(own_addresses(), testing::Not(Contains("192.0.2.1")));
}

TEST(Addresses, HaveAFormOfTheirOwnInAUri) {
  EXPECT_EQ(in_uri("hostb"), "hostb");
  EXPECT_EQ(in_uri("192.0.2.1"), "192.0.2.1");
  EXPECT_EQ(in_uri("fd98::1"), "[fd98::1]");
  EXPECT_EQ(in_uri("fe80::1%eth0"), "[fe80::1%25eth0]");
}

TEST(Addresses, OfLoopback) {
  for (const char* address : {"127.0.0.1", "127.0.1.1", "::1"}) EXPECT_TRUE(is_loopback_address(address));
  for (const char* address : {"", "128.0.0.1", "::", "fe80::1%lo", "localhost"})
    EXPECT_FALSE(is_loopback_address(address)) << address;
  // Hosts whose text shows that they are loopback: the user wants that.
  for (const char* host : {"localhost", "127.0.1.1", "192.0.2.1", "nosuchhost.invalid"})
    EXPECT_FALSE(is_loopback_name(host)) << host;
}

TEST(Addresses, OfALinkNeedItsInterface) {
  for (const char* address : {"fe80::1", "febf::1"}) EXPECT_TRUE(lacks_interface(address)) << address;
  for (const char* address : {"fe80::1%lo", "fec0::1", "::1", "169.254.0.1", "host"})
    EXPECT_FALSE(lacks_interface(address)) << address;
}

}  // namespace
}  // namespace wherry
