#include "qemu-glue/monitor/qemu_process.h"

#include <gtest/gtest.h>
#include <sys/fsuid.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

namespace wherry {
namespace {

TEST(QemuProcess, ItsUserIsWhoItIsNow) {
  auto user = user_of(::getpid());
  ASSERT_TRUE(user);
  EXPECT_EQ(*user, ::geteuid());
  EXPECT_FALSE(user_of(-1));
  if (::geteuid() != 0) GTEST_SKIP() << "the rest needs root";
  std::thread other([] {
    ::setfsuid(65534);  // of this thread only
    auto as = user_of(::gettid());
    ASSERT_TRUE(as);
    EXPECT_EQ(*as, 65534u);
  });
  other.join();
}

TEST(QemuProcess, ARelativePathBeginsAtItsDirectory) {
  EXPECT_EQ(path_of(17, "/run/a"), "/run/a");
  EXPECT_EQ(path_of(17, "a/b"), "/proc/17/cwd/a/b");
  EXPECT_EQ(path_of(17, ""), "");
  EXPECT_TRUE(std::filesystem::equivalent(path_of(::getpid(), "."), std::filesystem::current_path()));
}

}  // namespace
}  // namespace wherry
