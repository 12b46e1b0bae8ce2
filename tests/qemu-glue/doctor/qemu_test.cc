#include "qemu-glue/doctor/qemu.h"

#include "tests/qemu-glue/doctor/support.h"

namespace wherry::doctor {
namespace {

Finding of_version(const std::string& line) {
  return qemu("/q", Result<std::string>(line));
}

TEST(DoctorQemu, VersionsThatAreTried) {
  expect(of_version("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg)"), Level::ok, "/q is 7.2");
  expect(of_version("QEMU emulator version 11.1.0"), Level::ok, "/q is 11.1");
  expect(of_version("QEMU emulator version 7.1.0"), Level::problem, "7.1, too old", "install QEMU 7.2");
  expect(of_version("QEMU emulator version 12.0.0"), Level::note, "12.0, newer", "try a migration");
  expect(of_version("Bochs"), Level::problem, "\"Bochs\" has no version", "install QEMU");
  expect(qemu("/q", fail("cannot start it")), Level::problem, "/q: cannot start it", "install QEMU");
  expect(qemu("", fail("not found")), Level::problem, "not found", "install QEMU");
}

TEST(DoctorQemu, TheFirstInThePathIsAsked) {
  const Scratch scratch;
  scratch.write("none/file", "");
  scratch.write("one/qemu-system-toy", "#!/bin/sh\necho QEMU emulator version 9.9.9 for $1\n");
  scratch.write("plain/qemu-system-toy", "no program");
  const std::string program = scratch.path("one/qemu-system-toy");
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  const std::string path = scratch.path("none") + "::" + scratch.path("plain") + ":" + scratch.path("one");
  EXPECT_EQ(find_qemu(path, "toy"), program);
  EXPECT_EQ(version_line(program).value_or("error"), "QEMU emulator version 9.9.9 for --version");
  EXPECT_NE(find_qemu(scratch.path("none"), "toy"), program);
  EXPECT_FALSE(version_line(scratch.path("plain/qemu-system-toy")));
}

}  // namespace
}  // namespace wherry::doctor
