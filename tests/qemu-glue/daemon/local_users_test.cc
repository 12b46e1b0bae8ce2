#include "qemu-glue/daemon/local_users.h"

#include <gtest/gtest.h>

#include "tests/base/expect_error.h"
#include "tests/transport/support.h"

namespace wherry::daemon {
namespace {

// root, daemon and bin are of every Debian.
TEST(LocalUsers, AreFoundByName) {
  EXPECT_EQ(user_named("root")->id, 0u);
  EXPECT_EQ(user_named("daemon")->group, *group_named("daemon"));
  EXPECT_ERROR(user_named("nosuchuser"), "no user nosuchuser");
  EXPECT_ERROR(group_named("nosuchgroup"), "no group nosuchgroup");
}

TEST(LocalUsers, AreMembersOfTheirPrimaryGroup) {
  EXPECT_TRUE(is_member("daemon", *group_named("daemon")));
  EXPECT_FALSE(is_member("daemon", *group_named("bin")));
  EXPECT_FALSE(is_member("nosuchuser", *group_named("bin")));
}

TEST(LocalUsers, QemuIsNoAdministrator) {
  EXPECT_TRUE(check_users("", ""));
  EXPECT_TRUE(check_users("daemon", ""));
  EXPECT_TRUE(check_users("", "daemon"));
  EXPECT_TRUE(check_users("daemon", "bin"));
  EXPECT_ERROR(check_users("daemon", "daemon"), "daemon, the user of QEMU, is in the group daemon");
  EXPECT_ERROR(check_users("nosuchuser", ""), "qemu_user: there is no user nosuchuser");
  EXPECT_ERROR(check_users("daemon", "nosuchgroup"), "administrators: there is no group nosuchgroup");
}

}  // namespace
}  // namespace wherry::daemon
