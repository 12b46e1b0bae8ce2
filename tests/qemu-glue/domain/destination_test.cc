#include "qemu-glue/domain/destination.h"

#include <gtest/gtest.h>

namespace wherry::domain {
namespace {

TEST(Destination, IsAPeerByItsName) {
  auto to = Destination::parse("hostb", "/run/w");
  ASSERT_TRUE(to);
  EXPECT_TRUE(to->is_peer);
  EXPECT_EQ(to->host, "hostb");
  EXPECT_EQ(to->libvirt, "qemu+unix:///system?socket=/run/w/hostb/libvirt-sock");
  EXPECT_EQ(to->peers_socket, "/run/w/hostb/libvirt-sock");
  EXPECT_EQ(Destination::parse("fd98::2", "/run/w")->host, "[fd98::2]") << "as in wherry://HOST";
}

TEST(Destination, IsALibvirtByItsUri) {
  const std::pair<const char*, const char*> cases[] = {
      {"qemu+ssh://hostb/system", "hostb"},
      {"qemu+ssh://root@hostb.example.org:2222/system?no_tty=1", "hostb.example.org"},
      {"qemu+tcp://192.0.2.7:16509/system", "192.0.2.7"},
      {"qemu+tls://[2001:db8::7]:16514/system", "[2001:db8::7]"},
      {"qemu+tcp://hostb", "hostb"},
      {"qemu:///system", ""},
      {"qemu+unix:///system?socket=/run/a@b:c", ""},
  };
  for (const auto& [text, host] : cases) {
    auto to = Destination::parse(text, "/run/wherry");
    ASSERT_TRUE(to) << text;
    EXPECT_EQ(to->host, host) << text;
    EXPECT_EQ(to->libvirt, text);
    EXPECT_FALSE(to->is_peer);
  }
}

TEST(Destination, NoNameLeadsElsewhere) {
  for (const char* text :
       {"", ".", "..", "../x", "a/b", "a&b", "a?b", "host b", "wherry://hostb", "wherry+tcp://hostb"})
    EXPECT_FALSE(Destination::parse(text, "/run/wherry")) << text;
}

}  // namespace
}  // namespace wherry::domain
