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

TEST(DoctorHost, TcpBuffers) {
  const Scratch scratch;
  expect(tcp_buffers(scratch.path()), Level::ok, "does not say");
  scratch.write("tcp_wmem", "4096\t16384\t4194304\n");
  scratch.write("tcp_rmem", "4096\t131072\t6291456\n");
  expect(tcp_buffers(scratch.path()), Level::ok, "tcp_wmem up to 4194304 bytes, tcp_rmem up to 6291456");
  scratch.write("tcp_rmem", "4096\t131072\t3200000\n");
  const Finding narrow = tcp_buffers(scratch.path());
  expect(narrow, Level::note, "tcp_rmem up to 3200000");
  EXPECT_EQ(narrow.remedy, "sysctl net.ipv4.tcp_rmem='4096 131072 6250000'");
}

TEST(DoctorHost, Rdma) {
  const Scratch scratch;
  Findings all = rdma(scratch.path("nothing"), 8 << 20);
  ASSERT_EQ(all.size(), 1u) << "without a device the limit does not matter";
  expect(all[0], Level::ok, "no device");

  for (const std::string port : {"1", "2"}) {
    scratch.write("mlx5_0/ports/" + port + "/state", port == "1" ? "4: ACTIVE\n" : "1: DOWN\n");
    scratch.write("mlx5_0/ports/" + port + "/rate", "100 Gb/sec (4X EDR)\n");
    scratch.write("mlx5_0/ports/" + port + "/link_layer", "InfiniBand\n");
  }
  all = rdma(scratch.path(), 8 << 20);
  ASSERT_EQ(all.size(), 3u);
  expect(all[0], Level::ok, "mlx5_0 port 1: 4: ACTIVE, 100 Gb/sec (4X EDR), InfiniBand");
  expect(all[1], Level::note, "mlx5_0 port 2: 1: DOWN", "rdma link");
  expect(all[2], Level::note, "8192 KiB", "LimitMEMLOCK=infinity");
  expect(rdma(scratch.path(), RLIM_INFINITY)[2], Level::ok, "without limit");
}

}  // namespace
}  // namespace wherry::doctor
