#include "qemu-glue/daemon/config.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace wherry::daemon {
namespace {

class ConfigTest : public testing::Test {
 protected:
  ~ConfigTest() override { std::filesystem::remove(path_); }
  Result<Config> read(const std::string& text) {
    std::ofstream(path_) << text;
    return Config::read(path_);
  }
  void expect_error(const std::string& text, const std::string& why) {
    auto config = read(text);
    ASSERT_FALSE(config) << "no error: " << why;
    EXPECT_NE(config.error().message.find(why), std::string::npos) << config.error().message;
    EXPECT_NE(config.error().message.find(path_), std::string::npos) << "it names the file";
  }
  const std::string path_ = testing::TempDir() + "/wherry-config-test.toml";
};

TEST_F(ConfigTest, EveryKeyIsRead) {
  auto config = read(R"(
    listen = "wherry://192.0.2.1:17000"
    insecure = true
    runtime_dir = "/tmp/w"
    group = "libvirt-qemu"
    libvirt = "qemu+unix:///system?socket=/run/other/sock"
    others = "none"
    route_timeout = 7

    [peers.hostb]
    address = "192.0.2.2,198.51.100.2:17001"

    [peers.hostc]
    address = "hostc.example.org"
    libvirt = "read-only"
  )");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->listen->hosts.front().str(), "192.0.2.1:17000");
  EXPECT_TRUE(config->insecure);
  EXPECT_EQ(config->runtime_dir, "/tmp/w");
  EXPECT_EQ(config->group, "libvirt-qemu");
  EXPECT_EQ(config->libvirt, "/run/other/sock");
  EXPECT_EQ(config->others, LibvirtAccess::none);
  EXPECT_EQ(config->route_timeout, std::chrono::seconds(7));
  ASSERT_EQ(config->peers.size(), 2u);
  EXPECT_EQ(config->peers["hostb"].hosts[0].str(), "192.0.2.2:16520");
  EXPECT_EQ(config->peers["hostb"].hosts[1].str(), "198.51.100.2:17001");
  EXPECT_EQ(config->peers["hostb"].libvirt, LibvirtAccess::manage);
  EXPECT_EQ(config->peers["hostc"].libvirt, LibvirtAccess::read_only);
}

TEST_F(ConfigTest, WhatIsNotSaidHasADefault) {
  auto config = read("listen = \"wherry://127.0.0.1\"");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->runtime_dir, "/run/wherry");
  EXPECT_EQ(config->libvirt, "/run/libvirt/libvirt-sock");
  EXPECT_EQ(config->others, LibvirtAccess::read_only);
  EXPECT_FALSE(config->insecure);
}

TEST_F(ConfigTest, MistakesAreNamedWithTheirLine) {
  expect_error("listen = \"wherry://127.0.0.1\"\nlisen = 1", "line 2: unknown key \"lisen\"");
  expect_error("listen = 1", "listen: expected a text");
  expect_error("listen = \"tcp://127.0.0.1\"", "expected wherry://");
  expect_error("insecure = \"yes\"", "insecure: expected true or false");
  expect_error("route_timeout = 0", "route_timeout: expected 1 to 3600");
  expect_error("others = \"all\"", "others: expected \"manage\"");
  expect_error("libvirt = \"xen:///\"", "libvirt: xen:///");
  expect_error("[peers.hostb]\naddres = \"a\"", "unknown key \"peers.hostb.addres\"");
  expect_error("[peers.hostb]\n", "peer hostb=: expected NAME=ADDRESS");
  expect_error("[peers.\"../x\"]\naddress = \"a\"", "no host name");
  expect_error("peers = 3", "expected tables");
  expect_error("listen = ", "line 1");
}

TEST_F(ConfigTest, WhatCannotBeRunIsAnError) {
  expect_error("", "nothing to do");
  expect_error("listen = \"wherry://192.0.2.1\"", "in the clear");
  expect_error("[peers.hostb]\naddress = \"192.0.2.1\"", "in the clear");
  expect_error("listen = \"wherry://127.0.0.1\"\nruntime_dir = \"run\"", "no absolute path");
  expect_error("listen = \"wherry://127.0.0.1,127.0.0.2\"", "expected one address");
}

TEST_F(ConfigTest, AFileThatIsNotThereIsAnError) {
  auto config = Config::read("/nonexistent/wherry.toml");
  ASSERT_FALSE(config);
  EXPECT_NE(config.error().message.find("/nonexistent/wherry.toml"), std::string::npos);
}

}  // namespace
}  // namespace wherry::daemon
