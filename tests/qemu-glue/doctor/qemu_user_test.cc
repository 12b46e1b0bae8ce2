#include "qemu-glue/doctor/qemu_user.h"

#include "tests/qemu-glue/doctor/support.h"

namespace wherry::doctor {
namespace {

std::string capabilities(const std::string& label) {
  return "<capabilities><host><secmodel><model>apparmor</model><doi>0</doi><baselabel "
         "type='kvm'>+9:+9</baselabel>"
         "</secmodel><secmodel><model>dac</model><doi>0</doi><baselabel type='kvm'>" +
         label + "</baselabel></secmodel></host></capabilities>";
}

TEST(DoctorQemuUser, IsWhatLibvirtSays) {
  const auto qemu = qemu_user(capabilities("+64055:+105"));
  ASSERT_TRUE(qemu);
  EXPECT_EQ(qemu->user, 64055u);
  EXPECT_EQ(qemu->group, 105u);
  for (const std::string& unsaid :
       {std::string(), std::string("<capabilities/>"), capabilities("root:root"), capabilities("")})
    EXPECT_FALSE(qemu_user(unsaid)) << unsaid;
}

TEST(DoctorQemuUser, HasToBeInTheGroupUnlessItIsRoot) {
  expect(qemu_user({.user = 0, .group = 0}, ""), Level::ok, "QEMU as root");
  const QemuUser daemon{.user = 1, .group = 1};
  expect(qemu_user(daemon, ""), Level::problem, "as daemon, which cannot create its sockets",
         "group = \"daemon\"");
  expect(qemu_user(daemon, "nosuchgroup"), Level::problem, "not in the group nosuchgroup",
         "group = \"daemon\"");
  expect(qemu_user(daemon, "bin"), Level::problem, "not in the group bin", "group = \"daemon\"");
  expect(qemu_user(daemon, "daemon"), Level::ok, "of the group daemon");
  expect(qemu_user({.user = 4294000000, .group = 4294000001}, ""), Level::problem, "as 4294000000",
         "group = \"4294000001\"");
}

}  // namespace
}  // namespace wherry::doctor
