#include "qemu-glue/doctor/host.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <linux/kvm.h>
#include <sched.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/errno.h"
#include "base/fd.h"
#include "compression/zero_scan.h"
#include "qemu-glue/convergence/qemu_mark.h"
#include "qemu-glue/convergence/vcpu_quota.h"
#include "qemu-glue/doctor/shared_ram.h"
#include "qemu-glue/uri.h"

namespace wherry::doctor {
namespace {

namespace fs = std::filesystem;
using convergence::QemuMark;
using convergence::VcpuQuota;

// Bytes in flight on a path of 25 Gb/s and 1 ms. Of a receive buffer, the kernel uses half for its own data.
constexpr uint64_t kBytesUnderWay = 3'125'000;
// An environment variable of libfabric.
constexpr const char* kOnDemand = "FI_VERBS_USE_ODP";

std::optional<uint64_t> number_in(const fs::path& file) {
  uint64_t number = 0;
  if (std::ifstream stream(file); stream >> number) return number;
  return std::nullopt;
}

// Sorted, so that the output always has the same order.
std::set<fs::path> entries(const fs::path& directory) {
  std::set<fs::path> found;
  std::error_code ignored;
  for (const auto& each : fs::directory_iterator(directory, ignored)) found.insert(each.path());
  return found;
}

bool has_capability(int which) {
  std::ifstream status("/proc/self/status");
  for (std::string key; status >> key;) {
    uint64_t capabilities = 0;
    if (key == "CapEff:" && status >> std::hex >> capabilities) return ((capabilities >> which) & 1) != 0;
  }
  return false;
}

// Reads a boolean environment variable as libfabric does.
bool is_on(const char* variable) {
  const char* const value = std::getenv(variable);
  constexpr std::array kOn{"1", "true", "yes", "on"};
  return value && std::any_of(kOn.begin(), kOn.end(),
                              [value](const char* word) { return ::strcasecmp(value, word) == 0; });
}

unsigned usable_processors() {
  cpu_set_t set;
  return ::sched_getaffinity(0, sizeof set, &set) == 0 ? static_cast<unsigned>(CPU_COUNT(&set)) : 1;
}

Finding rdma_port(const RdmaPort& port) {
  std::string found = port.device;
  if (port.number != 0) found += fmt::format(" port {}", port.number);
  if (!port.fault.empty()) return note("rdma", fmt::format("{}: {}", found, port.fault), port.remedy);

  constexpr double kGigabit = 1e9 / 8;
  const std::string rate =
      port.rate == 0 ? "rate unknown" : fmt::format("{} Gb/s", static_cast<double>(port.rate) / kGigabit);
  found += fmt::format(": {}, {}, {}, MTU {}", port.state, port.ethernet ? "Ethernet" : "InfiniBand", rate,
                       port.mtu);
  if (!port.addresses.empty()) found += fmt::format(", {}", fmt::join(port.addresses, ", "));
  const std::string interface = port.gids.empty() || port.gids.front().interface.empty()
                                    ? "its interface"
                                    : port.gids.front().interface;
  if (!port.active) {
    return note("rdma", std::move(found),
                port.ethernet ? fmt::format("ip link set {} up; check its cable and switch", interface)
                              : "check its cable and switch, and the subnet manager of the network");
  }
  if (port.addresses.empty()) {
    return note("rdma", found + ", no IP address: RDMA cannot connect through it",
                port.ethernet ? fmt::format("ip address add ADDRESS/PREFIX dev {}", interface)
                              : "modprobe ib_ipoib, and give its interface an IP address");
  }
  return ok("rdma", found + "; used by wherry:// if the other end has RDMA too");
}

}  // namespace

Result<int> kvm_version(const std::string& device) {
  const Fd fd(::open(device.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd) return fail("{}: {}", device, reason(errno));
  const int version = ::ioctl(fd.get(), KVM_GET_API_VERSION, 0);
  if (version < 0) return fail("{}: {}", device, reason(errno));
  return version;
}

Finding kvm(const Result<int>& version) {
  const char* remedy =
      "switch on virtualization in the firmware, modprobe kvm_intel or kvm_amd, and join the group kvm";
  if (!version) return note("kvm", version.error().message + ": guests run slowly, under TCG", remedy);
  if (*version != KVM_API_VERSION)
    return note("kvm", fmt::format("API version {} is not supported by QEMU", *version), remedy);
  return ok("kvm", "usable");
}

Finding guest_memory(bool has_cap_sys_ptrace, std::optional<uint64_t> scope) {
  constexpr uint64_t kNobody = 3;
  const std::string set = fmt::format("kernel.yama.ptrace_scope = {}", scope.value_or(0));
  if (scope >= kNobody) {
    return note("guest memory", set + ": pages go through QEMU, not straight into guest memory",
                "set kernel.yama.ptrace_scope = 1 in /etc/sysctl.d and reboot");
  }
  if (has_cap_sys_ptrace) return ok("guest memory", "any QEMU's is writable");
  if (scope.value_or(0) == 0) return ok("guest memory", "that of this user's QEMUs is writable");
  return note("guest memory", set + ": pages go through QEMU, not straight into guest memory",
              "run as root, or sysctl kernel.yama.ptrace_scope=0");
}

Finding userfaultfd(std::optional<uint64_t> unprivileged) {
  if (!unprivileged)
    return note("userfaultfd", "not in this kernel: no postcopy", "boot a kernel with CONFIG_USERFAULTFD");
  if (*unprivileged == 0) {
    return note("userfaultfd", "only for root: no postcopy with a QEMU of another user",
                "sysctl vm.unprivileged_userfaultfd=1");
  }
  return ok("userfaultfd", "for all users");
}

Finding huge_pages(const std::string& directory) {
  std::string found;
  for (const fs::path& size : entries(directory)) {
    const uint64_t reserved = number_in(size / "nr_hugepages").value_or(0);
    if (reserved == 0) continue;
    found += fmt::format("{}{}: {} of {} free", found.empty() ? "" : ", ", size.filename().string(),
                         number_in(size / "free_hugepages").value_or(0), reserved);
  }
  if (!found.empty()) return ok("huge pages", found);
  return note("huge pages", "none reserved: a guest that uses them cannot come here",
              "sysctl vm.nr_hugepages=N, if you have such guests");
}

Finding processors(unsigned count, unsigned lanes) {
  std::string found = fmt::format("{} for the {} lanes of a migration (streams)", count, lanes);
  if (count >= lanes) return ok("processors", std::move(found));
  return note("processors", std::move(found), fmt::format("streams={} in the URI", count));
}

Finding zero_scan(std::string_view name) {
  if (name != "portable") return ok("zero pages", fmt::format("found with {}", name));
  return note("zero pages", "found without vector instructions",
              "use a processor with AVX2; in a virtual machine, -cpu host");
}

Finding tcp_buffers(const std::string& directory) {
  // Wherry leaves the size of its buffers to the kernel, so net.core.wmem_max and rmem_max do not matter.
  std::string found;
  std::string remedy;
  for (const auto& [name, least] :
       {std::pair("tcp_wmem", kBytesUnderWay), {"tcp_rmem", 2 * kBytesUnderWay}}) {
    uint64_t smallest = 0;
    uint64_t usual = 0;
    uint64_t largest = 0;
    if (std::ifstream file(fs::path(directory) / name); !(file >> smallest >> usual >> largest)) continue;
    found += fmt::format("{}{} up to {} bytes", found.empty() ? "" : ", ", name, largest);
    if (largest >= least) continue;
    remedy += fmt::format("{}sysctl net.ipv4.{}='{} {} {}'", remedy.empty() ? "" : "; ", name, smallest,
                          usual, least);
  }
  if (found.empty()) return ok("tcp buffers", "the kernel does not tell their size");
  if (remedy.empty()) return ok("tcp buffers", found);
  return note("tcp buffers", found + ": one lane cannot fill 25 Gb/s at 1 ms", remedy);
}

Findings left_behind(const std::vector<fs::path>& groups, const std::vector<QemuMark::Left>& marks) {
  Findings all;
  if (!groups.empty()) {
    all.push_back(problem("left behind",
                          fmt::format("{} vCPUs are still throttled by a Wherry that was killed ({})",
                                      groups.size(), groups.front().string()),
                          "the next migration away from this host removes that"));
  }
  for (const QemuMark::Left& left : marks) {
    std::string found;
    std::string remedy;
    for (const auto& [name, value] : left.parameters.items()) {
      found += fmt::format("{}{}", found.empty() ? "" : " and ", name);
      remedy += fmt::format("{}migrate_set_parameter {} {}", remedy.empty() ? "" : "; ", name, value.dump());
    }
    if (!left.throttle.empty()) {
      found += fmt::format("{}its guest's throttle ({})", found.empty() ? "" : " and ", left.throttle);
      remedy += "; cancel_vcpu_dirty_limit; migrate_set_capability auto-converge off";
    }
    all.push_back(problem(
        "left behind",
        fmt::format("a Wherry that was killed has set {} of the QEMU with process id {}", found, left.qemu),
        "the next migration of that guest by Wherry sets it back; or set it back at its monitor: " + remedy));
  }
  if (all.empty()) all.push_back(ok("left behind", "nothing from killed Wherrys"));
  return all;
}

Findings rdma(const std::vector<RdmaPort>& ports, bool has_cap_ipc_lock, uint64_t lockable, bool on_demand) {
  if (ports.empty()) return {ok("rdma", "no device: migrations use TCP")};
  Findings all;
  bool locks = !on_demand;
  for (const RdmaPort& port : ports) {
    all.push_back(rdma_port(port));
    locks = locks || !port.on_demand;
    if (on_demand && !port.on_demand && port.fault.empty()) {
      all.push_back(note(
          "rdma", fmt::format("{} is set, but {} has no on-demand paging for writes", kOnDemand, port.device),
          fmt::format("unset {}, or check whether a newer kernel has it (ibv_devinfo -v: "
                      "ODP_SUPPORT, and SUPPORT_WRITE of RC)",
                      kOnDemand)));
    }
  }
  if (has_cap_ipc_lock || lockable == RLIM_INFINITY) {
    all.push_back(ok("locked memory", "no limit"));
  } else if (!locks) {
    all.push_back(ok("locked memory", fmt::format("RDMA locks none: {} is set", kOnDemand)));
  } else {
    all.push_back(note("locked memory",
                       fmt::format("{} KiB: RDMA must lock all memory that it accesses", lockable / 1024),
                       "LimitMEMLOCK=infinity in the unit of wherryd; in a shell, ulimit -l unlimited, which "
                       "'USER hard memlock unlimited' in /etc/security/limits.d permits; or run as root"));
  }
  return all;
}

Findings examine_host() {
  Findings all{kvm(kvm_version("/dev/kvm")),
               guest_memory(has_capability(CAP_SYS_PTRACE), number_in("/proc/sys/kernel/yama/ptrace_scope")),
               userfaultfd(number_in("/proc/sys/vm/unprivileged_userfaultfd")),
               huge_pages("/sys/kernel/mm/hugepages"),
               shared_ram("/proc"),
               processors(usable_processors(), Uri{}.streams),
               zero_scan(zero_scans().front().name),
               tcp_buffers("/proc/sys/net/ipv4")};
  for (Finding& each : left_behind(VcpuQuota::abandoned(), QemuMark::abandoned()))
    all.push_back(std::move(each));
  rlimit limit{};
  ::getrlimit(RLIMIT_MEMLOCK, &limit);
  for (Finding& each : rdma(rdma_ports(), has_capability(CAP_IPC_LOCK), limit.rlim_cur, is_on(kOnDemand)))
    all.push_back(std::move(each));
  return all;
}

}  // namespace wherry::doctor
