// The checks of `wherry doctor` that need neither wherryd nor libvirt: kernel, processors, network cards.
//
// Each check judges the values that it is given; examine_host() passes this host's. The kernel's files are
// those of proc(5).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "qemu-glue/convergence/qemu_mark.h"
#include "qemu-glue/doctor/finding.h"
#include "transport/fabric/rdma_ports.h"

namespace wherry::doctor {

// The answer of /dev/kvm to KVM_GET_API_VERSION.
Result<int> kvm_version(const std::string& device);
Finding kvm(const Result<int>& version);
// Whether Wherry can write to another process's memory. `scope`: kernel.yama.ptrace_scope, if it exists.
Finding guest_memory(bool has_cap_sys_ptrace, std::optional<uint64_t> scope);
// Whether postcopy works. `unprivileged`: vm.unprivileged_userfaultfd, if it exists.
Finding userfaultfd(std::optional<uint64_t> unprivileged);
// `directory`: /sys/kernel/mm/hugepages.
Finding huge_pages(const std::string& directory);
Finding processors(unsigned count, unsigned lanes);
// `name`: the implementation in use (compression/zero_scan.h).
Finding zero_scan(std::string_view name);
// `directory`: /proc/sys/net/ipv4.
Finding tcp_buffers(const std::string& directory);
// What killed Wherrys have left behind: control groups (convergence/vcpu_quota.h), and settings in QEMUs.
Findings left_behind(const std::vector<std::filesystem::path>& groups,
                     const std::vector<convergence::QemuMark::Left>& marks);
// `lockable`: RLIMIT_MEMLOCK, in bytes; it does not bind with CAP_IPC_LOCK. `on_demand`: whether libfabric is
// to register memory on demand, if the device can.
Findings rdma(const std::vector<RdmaPort>& ports, bool has_cap_ipc_lock, uint64_t lockable, bool on_demand);

Findings examine_host();

}  // namespace wherry::doctor
