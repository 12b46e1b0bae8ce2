#include "qemu-glue/daemon/config.h"

#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <sstream>

#include "tests/base/expect_error.h"
#include "tests/transport/support.h"

namespace wherry::daemon {
namespace {

std::string document(const std::string& name) {
  std::ostringstream text;
  text << std::ifstream(WHERRY_DOCS "/" + name).rdbuf();
  return text.str();
}

class ConfigTest : public testing::Test {
 protected:
  Result<Config> read(const std::string& text) {
    std::ofstream(path_) << text;
    return Config::read(path_);
  }
  // The error names the file, and has the parts.
  template <class... Parts>
  void expect_error(const std::string& text, const Parts&... parts) {
    EXPECT_ERROR(read(text), path_, parts...);
  }
  // The known keys that the error for an unknown key lists.
  std::vector<std::string> known_keys(const std::string& unknown) {
    auto config = read(unknown);
    std::smatch list;
    if (config || !std::regex_search(config.error().message, list, std::regex("known here: ([^)]*)"))) {
      ADD_FAILURE() << "no list of known keys";
      return {};
    }
    std::vector<std::string> keys;
    std::istringstream words(list[1]);
    for (std::string key; std::getline(words >> std::ws, key, ',');) keys.push_back(key);
    return keys;
  }
  const test::TempDir directory_;
  const std::string path_ = directory_.at("wherryd.toml");
};

TEST_F(ConfigTest, EveryKeyIsRead) {
  auto config = read(R"(
    listen = "wherry://192.0.2.1:17000,[fe80::1%25eth0]"
    insecure = true
    runtime_dir = "/tmp/w"
    qemu_user = "libvirt-qemu"
    administrators = "libvirt"
    trace = "/tmp/trace.jsonl"
    libvirt = "qemu+unix:///system?socket=/run/other/sock"
    others = "none"
    route_timeout = 7
    bandwidth = "8Gbps"

    [peers.hostb]
    address = "192.0.2.2,198.51.100.2:17001"

    [peers.hostc]
    address = "FD98:0::3"
    libvirt = "read-only"
    uri = "wherry://hostc?streams=4"
  )");
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->listen->hosts.size(), 2u);
  EXPECT_EQ(config->listen->hosts[0].str(), "192.0.2.1:17000");
  EXPECT_EQ(config->listen->hosts[1].str(), "[fe80::1%25eth0]:16520");
  EXPECT_TRUE(config->insecure);
  EXPECT_EQ(config->runtime_dir, "/tmp/w");
  EXPECT_EQ(config->qemu_user, "libvirt-qemu");
  EXPECT_EQ(config->administrators, "libvirt");
  EXPECT_EQ(config->trace, "/tmp/trace.jsonl");
  EXPECT_EQ(config->libvirt, "/run/other/sock");
  EXPECT_EQ(config->others, LibvirtAccess::none);
  EXPECT_EQ(config->route_timeout, std::chrono::seconds(7));
  EXPECT_EQ(config->bandwidth, 1'000'000'000u);
  ASSERT_EQ(config->peers.size(), 2u);
  EXPECT_EQ(config->peers["hostb"].hosts[0].str(), "192.0.2.2:16520");
  EXPECT_EQ(config->peers["hostb"].hosts[1].str(), "198.51.100.2:17001");
  EXPECT_EQ(config->peers["hostb"].libvirt, std::nullopt);
  EXPECT_EQ(config->peers["hostc"].hosts[0].host, "fd98::3") << "as the address of a connection is written";
  EXPECT_EQ(config->peers["hostc"].libvirt, LibvirtAccess::read_only);
  EXPECT_EQ(config->peers["hostb"].uri, "");
  EXPECT_EQ(config->peers["hostc"].uri, "wherry://hostc?streams=4");
}

TEST_F(ConfigTest, WhatIsNotSaidHasADefault) {
  auto config = read("listen = \"wherry://127.0.0.1\"");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->runtime_dir, "/run/wherry");
  EXPECT_EQ(config->libvirt, "/run/libvirt/libvirt-sock");
  EXPECT_EQ(config->others, LibvirtAccess::none);
  EXPECT_FALSE(config->insecure);
  EXPECT_EQ(config->bandwidth, 0u);
}

TEST_F(ConfigTest, MistakesAreNamedWithTheirLine) {
  expect_error("listen = \"wherry://127.0.0.1\"\nlisen = 1", "line 2", "\"lisen\"");
  expect_error("listen = 1", "listen: ", "quoted string");
  expect_error("listen = \"tcp://127.0.0.1\"", "expected wherry://");
  expect_error("insecure = \"yes\"", "insecure: ", "true or false");
  expect_error("route_timeout = 0", "route_timeout: ", "1 to 3600");
  expect_error("bandwidth = \"8\"", "bandwidth: ", "5Gbps");
  expect_error("others = \"all\"", "others: ", "\"manage\"");
  expect_error("libvirt = \"xen:///\"", "libvirt: xen:///");
  expect_error(
      fmt::format("runtime_dir = \"/{}\"\n[peers.abc]\naddress = \"127.0.0.1\"", std::string(107 - 30, 'd')),
      "peer abc: ", "socket path");
  expect_error("[peers.hostb]\naddres = \"a\"", "\"peers.hostb.addres\"");
  expect_error("[peers.hostb]\naddress = \"127.0.0.1\"\nlibvirt = \"all\"",
               "peers.hostb.libvirt: ", "\"manage\"");
  expect_error("[peers.hostb]\naddress = \"127.0.0.1,hostb.example.org\"", "hostb.example.org", "192.0.2.7");
  expect_error("[peers.hostb]\naddress = \"a\"\nuri = \"tcp://a\"", "expected wherry://");
  expect_error("[peers.hostb]\n", "peer hostb=: ", "NAME=ADDRESS");
  expect_error("[peers.\"../x\"]\naddress = \"a\"", "is not a host name");
  expect_error("peers = 3", "expected tables");
  expect_error("listen = ", "line 1");
}

TEST_F(ConfigTest, WhatCannotBeRunIsAnError) {
  expect_error("", "nothing to do");
  expect_error("listen = \"wherry://192.0.2.1\"", "in the clear");
  expect_error("[peers.hostb]\naddress = \"192.0.2.1\"", "in the clear");
  expect_error("listen = \"wherry://127.0.0.1\"\nruntime_dir = \"run\"", "not an absolute path");
  expect_error("listen = \"wherry://127.0.0.1,192.0.2.1\"", "in the clear");
}

TEST_F(ConfigTest, TheDocumentedFileSaysNothingByItself) {
  EXPECT_ERROR(read(document("wherry.toml")), "nothing to do");
}

TEST_F(ConfigTest, TheDocumentedFileWithItsKeysSwitchedOnHasTheDefaults) {
  const std::regex key_or_table("(^|\n)#(?=[a-z_]+ = |\\[)");
  auto config = read(std::regex_replace(document("wherry.toml"), key_or_table, "$1"));
  ASSERT_TRUE(config) << config.error().message;
  const Config defaults;
  EXPECT_EQ(config->runtime_dir, defaults.runtime_dir);
  EXPECT_EQ(config->libvirt, defaults.libvirt);
  EXPECT_EQ(config->others, defaults.others);
  EXPECT_EQ(config->route_timeout, defaults.route_timeout);
  ASSERT_EQ(config->peers.size(), 1u);
  EXPECT_EQ(config->peers.begin()->second.libvirt, LibvirtAccess::none) << "what is not said means";
}

TEST_F(ConfigTest, EveryKeyIsDocumented) {
  const std::string file = document("wherry.toml");
  const size_t peer = file.find("\n#[peers.");
  ASSERT_NE(peer, std::string::npos);
  for (const std::string& key : known_keys("unknown = 1")) {
    const std::string line = key == "peers" ? "\n#[peers." : "\n#" + key + " = ";
    EXPECT_LE(file.find(line), peer) << key << " is missing";
  }
  for (const std::string& key : known_keys("[peers.hostb]\nunknown = 1")) {
    EXPECT_NE(file.find("\n#" + key + " = ", peer), std::string::npos) << "peers." << key << " is missing";
  }
}

TEST(ConfigPeer, ItsLibvirtRightsFollowItsAddresses) {
  auto peer = parse_peer("hostb=192.0.2.2:17001,[fd98::2],libvirt=manage");
  ASSERT_TRUE(peer) << peer.error().message;
  EXPECT_EQ(peer->libvirt, LibvirtAccess::manage);
  ASSERT_EQ(peer->hosts.size(), 2u);
  EXPECT_EQ(peer->hosts[0].str(), "192.0.2.2:17001");
  EXPECT_ERROR(parse_peer("hostb=192.0.2.2,libvirt=all"), "hostb", "\"manage\"");
  EXPECT_ERROR(parse_peer("hostb=,libvirt=manage"), "NAME=ADDRESS");
}

TEST_F(ConfigTest, AFileThatIsNotThereIsAnError) {
  EXPECT_ERROR(Config::read("/nonexistent/wherry.toml"), "/nonexistent/wherry.toml");
}

}  // namespace
}  // namespace wherry::daemon
