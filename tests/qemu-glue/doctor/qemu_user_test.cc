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
  EXPECT_EQ(*qemu, 64055u);
  for (const std::string& unsaid :
       {std::string(), std::string("<capabilities/>"), capabilities("root:root"), capabilities("")})
    EXPECT_FALSE(qemu_user(unsaid)) << unsaid;
}

TEST(DoctorQemuUser, HasToBeTheOneOfTheConfigurationUnlessItIsRoot) {
  expect(qemu_user(0, ""), Level::ok, "QEMU as root");
  expect(qemu_user(0, "daemon"), Level::ok, "QEMU as root");
  expect(qemu_user(1, ""), Level::problem, "as daemon, which cannot create its sockets",
         "qemu_user = \"daemon\"");
  expect(qemu_user(1, "nosuchuser"), Level::problem, "has qemu_user = \"nosuchuser\"",
         "qemu_user = \"daemon\"");
  expect(qemu_user(1, "bin"), Level::problem, "has qemu_user = \"bin\"", "qemu_user = \"daemon\"");
  expect(qemu_user(1, "daemon"), Level::ok, "QEMU as daemon");
  expect(qemu_user(4294000000, ""), Level::problem, "as 4294000000", "qemu_user = \"4294000000\"");
}

}  // namespace
}  // namespace wherry::doctor
