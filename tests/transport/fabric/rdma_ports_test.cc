#include "transport/fabric/rdma_ports.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <set>

#include "tests/transport/support.h"

namespace wherry {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr uint64_t kGigabit = 125'000'000;

TEST(RdmaPorts, Rate) {
  EXPECT_EQ(rdma_rate(1, 1), 5 * kGigabit / 2);   // 1X SDR
  EXPECT_EQ(rdma_rate(8, 4), 120 * kGigabit);     // 12X QDR
  EXPECT_EQ(rdma_rate(2, 8), 40 * kGigabit);      // 4X FDR10
  EXPECT_EQ(rdma_rate(2, 16), 56 * kGigabit);     // 4X FDR
  EXPECT_EQ(rdma_rate(2, 32), 100 * kGigabit);    // 4X EDR
  EXPECT_EQ(rdma_rate(16, 64), 100 * kGigabit);   // 2X HDR
  EXPECT_EQ(rdma_rate(2, 128), 400 * kGigabit);   // 4X NDR
  EXPECT_EQ(rdma_rate(4, 256), 1600 * kGigabit);  // 8X XDR
  for (const unsigned code : {0U, 3U, 512U}) {
    EXPECT_EQ(rdma_rate(2, code), 0U) << code;
    EXPECT_EQ(rdma_rate(code, 32), 0U) << code;
  }
}

TEST(RdmaPorts, GidText) {
  std::array<uint8_t, 16> gid{};
  for (const char* text : {"fe80::5054:ff:fe12:1", "2001:db8::7", "::"}) {
    ASSERT_EQ(inet_pton(AF_INET6, text, gid.data()), 1);
    EXPECT_EQ(rdma_gid_text(gid), text);
  }
  ASSERT_EQ(inet_pton(AF_INET6, "::ffff:10.77.0.1", gid.data()), 1);
  EXPECT_EQ(rdma_gid_text(gid), "10.77.0.1");
}

TEST(RdmaPorts, PortAt) {
  std::vector<RdmaPort> ports(3);
  ports[1].addresses = {"10.77.0.1"};
  ports[2].addresses = {"10.77.0.2", "2001:db8::7"};
  EXPECT_EQ(rdma_port_at(ports, "10.77.0.1"), &ports[1]);
  EXPECT_EQ(rdma_port_at(ports, "::ffff:10.77.0.2"), &ports[2]);
  EXPECT_EQ(rdma_port_at(ports, "2001:db8:0::7"), &ports[2]);
  for (const char* none : {"10.77.0.3", "2001:db8::8", "hostb", ""})
    EXPECT_EQ(rdma_port_at(ports, none), nullptr) << none;
}

TEST(RdmaPorts, Interfaces) {
  const test::TempDir directory;
  const auto interface = [&](const std::string& name, const std::string& device, unsigned index) {
    const std::string path = directory.at(name);
    std::filesystem::create_directories(path + "/device/infiniband/" + device);
    std::ofstream(path + "/dev_port") << index << '\n';
  };
  interface("ib0", "mlx4_0", 0);
  interface("ib1", "mlx4_0", 1);
  interface("ib2", "mlx4_1", 0);
  std::filesystem::create_directories(directory.at("lo"));
  EXPECT_THAT(rdma_interfaces(directory.at(""), "mlx4_0", 1), ElementsAre("ib0"));
  EXPECT_THAT(rdma_interfaces(directory.at(""), "mlx4_0", 2), ElementsAre("ib1"));
  EXPECT_THAT(rdma_interfaces(directory.at(""), "mlx4_0", 3), IsEmpty());
  EXPECT_THAT(rdma_interfaces(directory.at("nothing"), "mlx4_0", 1), IsEmpty());
}

TEST(RdmaPorts, ThisHost) {
  testing::internal::CaptureStderr();
  const std::vector<RdmaPort> ports = rdma_ports();
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");

  std::set<std::string> devices;
  std::error_code ignored;
  for (const auto& each : std::filesystem::directory_iterator("/sys/class/infiniband", ignored))
    devices.insert(each.path().filename());
  std::set<std::string> named;
  for (const RdmaPort& port : ports) {
    SCOPED_TRACE(port.device);
    named.insert(port.device);
    EXPECT_EQ(port.fault.empty(), port.remedy.empty());
    if (!port.fault.empty()) continue;
    EXPECT_GE(port.number, 1U);
    EXPECT_NE(port.state, "");
    if (port.active) {
      EXPECT_GE(port.rate, 5 * kGigabit / 2);
      EXPECT_GE(port.mtu, 256U);
      EXPECT_THAT(port.gids, testing::Not(IsEmpty()));
    }
    for (const RdmaGid& gid : port.gids) {
      if (gid.type != RdmaGidType::roce_v2 || gid.address.starts_with("fe80:")) continue;
      EXPECT_EQ(rdma_port_at(ports, gid.address), &port) << gid.address;
    }
    for (const std::string& address : port.addresses) EXPECT_EQ(rdma_port_at(ports, address), &port);
  }
  EXPECT_EQ(named, devices);
}

}  // namespace
}  // namespace wherry
