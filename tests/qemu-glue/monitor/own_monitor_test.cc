#include "qemu-glue/monitor/own_monitor.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <initializer_list>

#include "qemu-glue/daemon/child.h"
#include "tests/base/expect_error.h"

namespace wherry {
namespace {

std::string qmp_of(std::initializer_list<const char*> arguments) {
  std::string line;
  for (const char* argument : arguments) line += std::string(argument) + '\0';
  return qmp_argument(line);
}

TEST(OwnMonitor, IsThePathBehindQmp) {
  EXPECT_EQ(qmp_of({"qemu", "-m", "1", "-qmp", "unix:/run/a.qmp,server=on,wait=off", "-S"}), "/run/a.qmp");
  EXPECT_EQ(qmp_of({"qemu", "--qmp", "unix:/run/a.qmp"}), "/run/a.qmp");
}

TEST(OwnMonitor, IsTheFirstThatIsAUnixSocket) {
  EXPECT_EQ(
      qmp_of({"qemu", "-qmp", "stdio", "-qmp", "tcp:localhost:4444", "-qmp", "unix:/b", "-qmp", "unix:/c"}),
      "/b");
}

TEST(OwnMonitor, IsNoOtherArgument) {
  EXPECT_EQ(qmp_of({}), "");
  EXPECT_EQ(qmp_of({"qemu", "unix:/a", "-mon", "chardev=charmonitor", "-monitor", "unix:/b"}), "");
  EXPECT_EQ(qmp_of({"qemu", "-name", "-qmp,unix:/a", "-qmp"}), "");
  EXPECT_EQ(qmp_argument(std::string_view("-qmp\0unix:/cut", 14)), "/cut")
      << "without a zero byte at the end";
}

TEST(OwnMonitor, ARelativePathBeginsAtItsDirectory) {
  // The child waits on the socket that it inherited, so it lives until the end of the test.
  auto child = daemon::Child::spawn({"/bin/sh", "-c", "echo up; read x <&3", "-qmp", "unix:a.qmp"});
  ASSERT_TRUE(child);
  std::string line;
  ASSERT_EQ((*child)->read_line(line, std::chrono::seconds(30)), daemon::Child::Said::line);
  auto of_child = own_monitor((*child)->pid());
  ASSERT_TRUE(of_child) << of_child.error().message;
  EXPECT_EQ(*of_child, fmt::format("/proc/{}/cwd/a.qmp", (*child)->pid()));
}

TEST(OwnMonitor, IsReadFromTheProcess) {
  EXPECT_ERROR(own_monitor(getpid()), std::to_string(getpid()));
  EXPECT_FALSE(own_monitor(-1));
}

}  // namespace
}  // namespace wherry
