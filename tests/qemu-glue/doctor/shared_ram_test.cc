#include "qemu-glue/doctor/shared_ram.h"

#include "tests/qemu-glue/doctor/support.h"

namespace wherry::doctor {
namespace {

std::string mapping(unsigned mib, unsigned resident, const std::string& flags) {
  return fmt::format(
      "7f0000000000-7f0020000000 rw-s 00000000 00:01 7  /memfd:memory-backend-memfd (deleted)\n"
      "Size:           {} kB\nKernelPageSize:        4 kB\nRss:            {} kB\nVmFlags: rd wr {} mr mw \n",
      mib * 1024, resident * 1024, flags);
}

TEST(DoctorSharedRam, WhatWouldNotFitIsNamed) {
  const Scratch proc;
  proc.write("meminfo", "MemTotal:  9999999 kB\nMemFree:  1024 kB\nMemAvailable:   614400 kB\n");
  expect(shared_ram(proc.path()), Level::ok, "0 MiB of 600");
  proc.write("31/comm", "qemu-system-x86\n");
  proc.write("31/smaps", mapping(300, 300, "sh") + mapping(500, 100, "sh") + mapping(9000, 0, "") +
                             mapping(9000, 0, "sh ht") + mapping(9000, 0, "sh pf io"));
  proc.write("32/comm", "qemu-kvm\n");
  proc.write("32/smaps", mapping(300, 0, "sh"));
  proc.write("33/comm", "postgres\n");
  proc.write("33/smaps", mapping(9000, 0, "sh"));
  expect(shared_ram(proc.path()), Level::ok, "400 MiB of 600");
  proc.write("32/smaps", mapping(300, 0, "sh") + mapping(350, 10, "sh"));
  expect(shared_ram(proc.path()), Level::note, "QEMU 32 has 640 MiB", "private RAM");
}

TEST(DoctorSharedRam, ThisHostCanBeLookedAt) {
  EXPECT_EQ(shared_ram("/proc").about, "shared RAM");
}

}  // namespace
}  // namespace wherry::doctor
