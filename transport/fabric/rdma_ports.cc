#include "transport/fabric/rdma_ports.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <ifaddrs.h>
#include <infiniband/verbs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <tuple>

#include "base/errno.h"
#include "base/fd.h"

namespace wherry {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAskKernel = "see what the kernel says about it (dmesg)";

struct Code {
  unsigned code;
  unsigned worth;
};
constexpr Code kLanes[] = {{1, 1}, {2, 4}, {4, 8}, {8, 12}, {16, 2}};
constexpr Code kTenthsOfGigabit[] = {
    {1, 25},      // SDR
    {2, 50},      // DDR
    {4, 100},     // QDR
    {8, 100},     // FDR10
    {16, 140},    // FDR
    {32, 250},    // EDR
    {64, 500},    // HDR
    {128, 1000},  // NDR
    {256, 2000},  // XDR
};

uint64_t worth_of(unsigned code, std::span<const Code> codes) {
  const auto found =
      std::find_if(codes.begin(), codes.end(), [code](const Code& each) { return each.code == code; });
  return found == codes.end() ? 0 : found->worth;
}

struct DeviceListFree {
  void operator()(ibv_device** list) const { ibv_free_device_list(list); }
};
struct ContextClose {
  void operator()(ibv_context* context) const { ibv_close_device(context); }
};
struct InterfacesFree {
  void operator()(ifaddrs* list) const { freeifaddrs(list); }
};

// Sorted. Empty if there is no such directory.
std::set<std::string> entries(const fs::path& directory) {
  std::set<std::string> names;
  std::error_code ignored;
  for (const auto& each : fs::directory_iterator(directory, ignored)) names.insert(each.path().filename());
  return names;
}

std::string text_of(const in6_addr& address) {
  return rdma_gid_text(std::span<const uint8_t, 16>(address.s6_addr));
}

in6_addr mapped(const in_addr& address) {
  in6_addr long_one{};
  long_one.s6_addr[10] = long_one.s6_addr[11] = 0xff;
  std::memcpy(&long_one.s6_addr[12], &address, sizeof address);
  return long_one;
}

std::vector<std::string> addresses_of(const std::string& interface) {
  std::vector<std::string> found;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return found;
  const std::unique_ptr<ifaddrs, InterfacesFree> owner(list);
  for (const ifaddrs* each = list; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr || interface != each->ifa_name) continue;
    if (each->ifa_addr->sa_family == AF_INET) {
      found.push_back(text_of(mapped(reinterpret_cast<const sockaddr_in*>(each->ifa_addr)->sin_addr)));
    } else if (each->ifa_addr->sa_family == AF_INET6) {
      const in6_addr& address = reinterpret_cast<const sockaddr_in6*>(each->ifa_addr)->sin6_addr;
      if (!IN6_IS_ADDR_LINKLOCAL(&address)) found.push_back(text_of(address));
    }
  }
  return found;
}

RdmaGidType gid_type(uint32_t code) {
  if (code == IBV_GID_TYPE_ROCE_V1) return RdmaGidType::roce_v1;
  if (code == IBV_GID_TYPE_ROCE_V2) return RdmaGidType::roce_v2;
  return RdmaGidType::infiniband;
}

// The wider field, which has room for XDR, if libibverbs has it.
template <class Attributes>
unsigned speed_of(const Attributes& port) {
  if constexpr (requires { port.active_speed_ex; }) {
    if (port.active_speed_ex != 0) return port.active_speed_ex;
  }
  return port.active_speed;
}

void ask_gids(ibv_context* context, int table_size, RdmaPort& port) {
  for (int index = 0; index < table_size; ++index) {
    ibv_gid_entry entry{};
    if (ibv_query_gid_ex(context, port.number, static_cast<uint32_t>(index), &entry, 0) != 0) continue;
    in6_addr address;
    std::memcpy(&address, entry.gid.raw, sizeof address);
    char interface[IF_NAMESIZE] = "";
    if (entry.ndev_ifindex != 0) ::if_indextoname(entry.ndev_ifindex, interface);
    port.gids.push_back({text_of(address), gid_type(entry.gid_type), interface});
    if (entry.gid_type == IBV_GID_TYPE_ROCE_V2 && !IN6_IS_ADDR_LINKLOCAL(&address))
      port.addresses.push_back(port.gids.back().address);
  }
}

RdmaPort ask_port(ibv_context* context, unsigned number) {
  RdmaPort port;
  port.device = ibv_get_device_name(context->device);
  port.number = number;
  ibv_port_attr attributes{};
  if (const int error = ibv_query_port(context, static_cast<uint8_t>(number), &attributes); error != 0) {
    port.fault = "cannot be asked: " + reason(error);
    port.remedy = kAskKernel;
    return port;
  }
  port.ethernet = attributes.link_layer == IBV_LINK_LAYER_ETHERNET;
  port.active = attributes.state == IBV_PORT_ACTIVE || attributes.state == IBV_PORT_ACTIVE_DEFER;
  port.state = ibv_port_state_str(attributes.state);
  port.rate = rdma_rate(attributes.active_width, speed_of(attributes));
  if (attributes.active_mtu >= IBV_MTU_256 && attributes.active_mtu <= IBV_MTU_4096)
    port.mtu = 128U << attributes.active_mtu;
  ask_gids(context, attributes.gid_tbl_len, port);
  // GIDs of InfiniBand and iWARP are not IP addresses.
  if (port.ethernet && context->device->transport_type == IBV_TRANSPORT_IB) return port;
  for (const std::string& interface : rdma_interfaces("/sys/class/net", port.device, number)) {
    for (std::string& address : addresses_of(interface)) port.addresses.push_back(std::move(address));
  }
  return port;
}

RdmaPort closed(const std::string& device, std::string fault, std::string remedy) {
  RdmaPort port;
  port.device = device;
  port.fault = std::move(fault);
  port.remedy = std::move(remedy);
  return port;
}

RdmaPort not_opened(const ibv_device& device, int error) {
  const std::string path = fmt::format("/dev/infiniband/{}", device.dev_name);
  // Without permission to open it, libibverbs looks for it elsewhere too, and then says that it is not there.
  if (!Fd(::open(path.c_str(), O_RDWR | O_CLOEXEC))) error = errno;
  const char* remedy = kAskKernel;
  if (error == EACCES) remedy = "be root, or join the group of /dev/infiniband/* (ls -l), mostly rdma";
  if (error == EPERM || error == ENOENT)
    remedy = "let this container or unit have the devices in /dev/infiniband";
  return closed(device.name, fmt::format("cannot open {}: {}", path, reason(error)), remedy);
}

void ask_device(ibv_device* device, std::vector<RdmaPort>& ports) {
  const std::unique_ptr<ibv_context, ContextClose> context(ibv_open_device(device));
  if (!context) {
    ports.push_back(not_opened(*device, errno));
    return;
  }
  ibv_device_attr_ex attributes{};
  if (const int error = ibv_query_device_ex(context.get(), nullptr, &attributes); error != 0) {
    ports.push_back(closed(ibv_get_device_name(device), "cannot be asked: " + reason(error), kAskKernel));
    return;
  }
  const ibv_odp_caps& paging = attributes.odp_caps;
  for (unsigned number = 1; number <= attributes.orig_attr.phys_port_cnt; ++number) {
    ports.push_back(ask_port(context.get(), number));
    ports.back().on_demand = (paging.general_caps & IBV_ODP_SUPPORT) != 0 &&
                             (paging.per_transport_caps.rc_odp_caps & IBV_ODP_SUPPORT_WRITE) != 0;
  }
}

}  // namespace

std::vector<RdmaPort> rdma_ports() {
  std::vector<RdmaPort> ports;
  // Asked first, because libibverbs complains on stderr if the kernel has no RDMA.
  std::set<std::string> unknown = entries("/sys/class/infiniband");
  if (unknown.empty()) return ports;
  int count = 0;
  const std::unique_ptr<ibv_device*, DeviceListFree> devices(ibv_get_device_list(&count));
  for (ibv_device* device : std::span(devices.get(), devices ? static_cast<size_t>(count) : 0)) {
    unknown.erase(ibv_get_device_name(device));
    ask_device(device, ports);
  }
  for (const std::string& device : unknown) {
    ports.push_back(closed(device, "libibverbs does not find it",
                           "modprobe ib_uverbs; apt install ibverbs-providers, which has its driver"));
  }
  std::sort(ports.begin(), ports.end(), [](const RdmaPort& one, const RdmaPort& other) {
    return std::tie(one.device, one.number) < std::tie(other.device, other.number);
  });
  return ports;
}

const RdmaPort* rdma_port_at(const std::vector<RdmaPort>& ports, const std::string& address) {
  in6_addr bytes{};
  in_addr short_one{};
  if (::inet_pton(AF_INET, address.c_str(), &short_one) == 1) {
    bytes = mapped(short_one);
  } else if (::inet_pton(AF_INET6, address.c_str(), &bytes) != 1) {
    return nullptr;
  }
  const std::string text = text_of(bytes);
  const auto found = std::find_if(ports.begin(), ports.end(), [&](const RdmaPort& port) {
    return std::find(port.addresses.begin(), port.addresses.end(), text) != port.addresses.end();
  });
  return found == ports.end() ? nullptr : &*found;
}

uint64_t rdma_rate(unsigned width, unsigned speed) {
  constexpr uint64_t kTenthOfGigabit = 12'500'000;
  return worth_of(width, kLanes) * worth_of(speed, kTenthsOfGigabit) * kTenthOfGigabit;
}

std::string rdma_gid_text(std::span<const uint8_t, 16> gid) {
  in6_addr address;
  std::memcpy(&address, gid.data(), gid.size());
  char text[INET6_ADDRSTRLEN] = "";
  if (IN6_IS_ADDR_V4MAPPED(&address)) {
    ::inet_ntop(AF_INET, &address.s6_addr[12], text, sizeof text);
  } else {
    ::inet_ntop(AF_INET6, &address, text, sizeof text);
  }
  return text;
}

std::vector<std::string> rdma_interfaces(const std::string& directory, const std::string& device,
                                         unsigned port) {
  std::vector<std::string> found;
  for (const std::string& interface : entries(directory)) {
    const fs::path path = fs::path(directory) / interface;
    if (!fs::exists(path / "device/infiniband" / device)) continue;
    // Counts from 0 what RDMA counts from 1.
    unsigned index = 0;
    if (std::ifstream file(path / "dev_port"); file >> index && index + 1 == port) found.push_back(interface);
  }
  return found;
}

}  // namespace wherry
