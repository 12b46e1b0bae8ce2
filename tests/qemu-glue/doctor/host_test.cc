#include "qemu-glue/doctor/host.h"

#include <linux/kvm.h>
#include <sys/resource.h>

#include "tests/qemu-glue/doctor/support.h"

namespace wherry::doctor {
namespace {

TEST(DoctorHost, Kvm) {
  expect(kvm(KVM_API_VERSION), Level::ok, "usable");
  expect(kvm(11), Level::note, "11", "kvm");
  expect(kvm(kvm_version("/nonexistent/kvm")), Level::note, "/nonexistent/kvm: No such file", "modprobe kvm");
  expect(kvm(kvm_version("/dev/null")), Level::note, "/dev/null: ", "kvm");
}

TEST(DoctorHost, GuestMemory) {
  expect(guest_memory(true, std::nullopt), Level::ok, "any QEMU's");
  expect(guest_memory(true, 2), Level::ok, "any QEMU's");
  expect(guest_memory(false, std::nullopt), Level::ok, "this user's");
  expect(guest_memory(false, 0), Level::ok, "this user's");
  expect(guest_memory(false, 1), Level::note, "ptrace_scope = 1", "run as root");
  expect(guest_memory(true, 3), Level::note, "ptrace_scope = 3", "reboot");
}

TEST(DoctorHost, Userfaultfd) {
  expect(userfaultfd(1), Level::ok, "all users");
  expect(userfaultfd(0), Level::note, "only for root", "sysctl vm.unprivileged_userfaultfd=1");
  expect(userfaultfd(std::nullopt), Level::note, "not in this kernel", "CONFIG_USERFAULTFD");
}

TEST(DoctorHost, HugePages) {
  const Scratch scratch;
  scratch.write("hugepages-1048576kB/nr_hugepages", "0\n");
  scratch.write("hugepages-2048kB/nr_hugepages", "0\n");
  expect(huge_pages(scratch.path()), Level::note, "none", "sysctl vm.nr_hugepages");
  scratch.write("hugepages-2048kB/nr_hugepages", "512\n");
  scratch.write("hugepages-2048kB/free_hugepages", "7\n");
  EXPECT_EQ(huge_pages(scratch.path()).found, "hugepages-2048kB: 7 of 512 free");
  EXPECT_EQ(huge_pages(scratch.path()).level, Level::ok);
}

TEST(DoctorHost, Processors) {
  expect(processors(2, 2), Level::ok, "2 for the 2 lanes");
  expect(processors(1, 2), Level::note, "1 for the 2 lanes", "streams=1");
}

TEST(DoctorHost, ZeroScan) {
  expect(zero_scan("avx2"), Level::ok, "avx2");
  expect(zero_scan("portable"), Level::note, "without vector", "AVX2");
}

TEST(DoctorHost, WhatKilledOnesHaveLeft) {
  expect(left_behind({}, {}).at(0), Level::ok, "nothing");
  const Findings found = left_behind({"/sys/fs/cgroup/cpu/wherry-throttle-7-0", "/x"},
                                     {{77, {{"downtime-limit", 300}}, "dirty-limit", "/y"},
                                      {78, {{"downtime-limit", 300}, {"max-bandwidth", 7}}, "", "/z"}});
  ASSERT_EQ(found.size(), 3u);
  expect(found[0], Level::problem,
         "2 vCPUs are still throttled by a Wherry that was killed (/sys/fs/cgroup/cpu/wherry-throttle-7-0)");
  expect(found[1], Level::problem,
         "has set downtime-limit and its guest's throttle (dirty-limit) of the QEMU with process id 77",
         "monitor: migrate_set_parameter downtime-limit 300; cancel_vcpu_dirty_limit; ");
  expect(found[2], Level::problem, "has set downtime-limit and max-bandwidth of",
         "migrate_set_parameter downtime-limit 300; migrate_set_parameter max-bandwidth 7");
}

TEST(DoctorHost, TcpBuffers) {
  const Scratch scratch;
  expect(tcp_buffers(scratch.path()), Level::ok, "the kernel does not tell");
  scratch.write("tcp_wmem", "4096\t16384\t4194304\n");
  scratch.write("tcp_rmem", "4096\t131072\t6291456\n");
  expect(tcp_buffers(scratch.path()), Level::ok, "tcp_wmem up to 4194304 bytes, tcp_rmem up to 6291456");
  scratch.write("tcp_rmem", "4096\t131072\t3200000\n");
  const Finding narrow = tcp_buffers(scratch.path());
  expect(narrow, Level::note, "tcp_rmem up to 3200000");
  EXPECT_EQ(narrow.remedy, "sysctl net.ipv4.tcp_rmem='4096 131072 6250000'");
}

TEST(DoctorHost, Rdma) {
  Findings all = rdma({}, false, 8 << 20, false);
  ASSERT_EQ(all.size(), 1u) << "without a device the limit does not matter";
  expect(all[0], Level::ok, "no device");

  RdmaPort port;
  port.device = "mlx5_0";
  port.number = 1;
  port.ethernet = port.active = true;
  port.state = "active";
  port.rate = rdma_rate(2, 32);
  port.mtu = 4096;
  port.addresses = {"10.77.0.1", "2001:db8::7"};
  expect(rdma({port}, false, RLIM_INFINITY, false)[0], Level::ok,
         "mlx5_0 port 1: active, Ethernet, 100 Gb/s, MTU 4096, 10.77.0.1, 2001:db8::7; used");

  RdmaPort down = port;
  down.active = false;
  down.state = "down";
  down.gids = {{.address = "10.77.0.1", .type = RdmaGidType::roce_v2, .interface = "eth1"}};
  expect(rdma({down}, false, RLIM_INFINITY, false)[0], Level::note, "mlx5_0 port 1: down",
         "ip link set eth1 up");
  down.ethernet = false;
  expect(rdma({down}, false, RLIM_INFINITY, false)[0], Level::note, "down, InfiniBand", "subnet manager");

  port.addresses.clear();
  expect(rdma({port}, false, RLIM_INFINITY, false)[0], Level::note, "no IP address", "dev its interface");
  port.ethernet = false;
  expect(rdma({port}, false, RLIM_INFINITY, false)[0], Level::note, "no IP address", "ib_ipoib");

  RdmaPort closed;
  closed.device = "mlx5_1";
  closed.fault = "cannot open it";
  closed.remedy = "be root";
  all = rdma({closed}, false, 8 << 20, false);
  ASSERT_EQ(all.size(), 2u);
  expect(all[0], Level::note, "mlx5_1: cannot open it", "be root");
  expect(all[1], Level::note, "8192 KiB", "LimitMEMLOCK=infinity");
  expect(rdma({port}, true, 8 << 20, false)[1], Level::ok, "no limit");
  expect(rdma({port}, false, RLIM_INFINITY, false)[1], Level::ok, "no limit");

  RdmaPort paging = port;
  paging.on_demand = true;
  expect(rdma({paging}, false, 8 << 20, false)[1], Level::note, "8192 KiB", "LimitMEMLOCK=infinity");
  expect(rdma({paging}, false, 8 << 20, true)[1], Level::ok, "locks none: FI_VERBS_USE_ODP is set");
  all = rdma({paging, port}, false, 8 << 20, true);
  ASSERT_EQ(all.size(), 4u);
  expect(all[2], Level::note, "FI_VERBS_USE_ODP is set, but mlx5_0 has no on-demand paging",
         "unset FI_VERBS_USE_ODP");
  expect(all[3], Level::note, "8192 KiB", "LimitMEMLOCK=infinity");
  all = rdma({paging, closed}, false, 8 << 20, true);
  ASSERT_EQ(all.size(), 3u) << "it is not known whether the device could";
  expect(all[2], Level::note, "8192 KiB", "LimitMEMLOCK=infinity");
}

}  // namespace
}  // namespace wherry::doctor
