#include "qemu-glue/source/qemu_socket.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/base/expect_error.h"
#include "tests/transport/support.h"

namespace wherry {
namespace {

constexpr uid_t kNobody = 65534;

class QemuSocket : public testing::Test {
 protected:
  uid_t owner(std::optional<uid_t> user) {
    auto listener = listen_for_qemu({.path = directory_.at("out"), .host = {}, .port = 0}, user);
    if (!listener) {
      ADD_FAILURE() << listener.error().message;
      return 0;
    }
    struct stat made {};
    ::lstat(directory_.at("out").c_str(), &made);
    EXPECT_EQ(made.st_mode, S_IFSOCK | 0600u);
    return made.st_uid;
  }
  const test::TempDir directory_;
};

TEST_F(QemuSocket, IsOursWhereQemuIs) {
  EXPECT_EQ(owner(::geteuid()), ::geteuid());
  EXPECT_EQ(owner({}), ::geteuid());
  EXPECT_EQ(owner(0), ::geteuid()) << "root gets everywhere";
}

TEST_F(QemuSocket, IsQemusUsers) {
  if (::geteuid() != 0) GTEST_SKIP() << "takes root";
  EXPECT_EQ(owner(kNobody), kNobody);
}

TEST_F(QemuSocket, IsTheDirectorysOwnersWhereQemuIsNotKnown) {
  if (::geteuid() != 0) GTEST_SKIP() << "takes root";
  ASSERT_EQ(::chown(directory_.at("").c_str(), kNobody, 0), 0);
  EXPECT_EQ(owner({}), kNobody);
  EXPECT_EQ(owner(1), 1u);
}

TEST_F(QemuSocket, IsRefusedWhereItCannotBeGiven) {
  if (::geteuid() == 0) GTEST_SKIP() << "root can give it to anybody";
  auto listener = listen_for_qemu({.path = directory_.at("out"), .host = {}, .port = 0}, kNobody);
  EXPECT_ERROR(listener, "to user 65534");
}

}  // namespace
}  // namespace wherry
