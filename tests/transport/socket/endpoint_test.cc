#include "transport/socket/endpoint.h"

#include <gtest/gtest.h>

#include "tests/transport/socket/endpoints.h"
#include "tests/transport/support.h"

namespace wherry {
namespace {

using test::tcp;
using test::unix_at;

TEST(Endpoint, WritesAddressesAsPeopleDo) {
  EXPECT_EQ(unix_at("/run/a.sock").str(), "/run/a.sock");
  EXPECT_EQ(tcp("host.example", 16520).str(), "host.example:16520");
  EXPECT_EQ(tcp("10.0.0.1", 1).str(), "10.0.0.1:1");
  EXPECT_EQ(tcp("fd98::1", 16520).str(), "[fd98::1]:16520");
  EXPECT_EQ(tcp("fe80::1%eth0", 16520).str(), "[fe80::1%25eth0]:16520");
}

TEST(Endpoint, KnowsItsOwnMachine) {
  for (const char* host : {"127.0.0.1", "127.255.0.9", "::1", "localhost"}) {
    EXPECT_TRUE(tcp(host, 1).is_loopback()) << host;
  }
  EXPECT_TRUE(unix_at("/x").is_loopback());
  for (const char* host : {"", "0.0.0.0", "::", "126.255.255.255", "128.0.0.1", "10.0.0.1", "::2", "fe80::1",
                           "localhost.example.org", "127.0.0.1.example.org", "127.1", "host"}) {
    EXPECT_FALSE(tcp(host, 1).is_loopback()) << host;
  }
}

}  // namespace
}  // namespace wherry
