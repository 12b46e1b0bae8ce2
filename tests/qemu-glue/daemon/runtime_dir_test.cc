#include "qemu-glue/daemon/runtime_dir.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/base/expect_error.h"
#include "tests/transport/support.h"
#include "transport/socket/listener.h"

namespace wherry::daemon {
namespace {

struct stat status(const std::string& path) {
  struct stat found {};
  EXPECT_EQ(::lstat(path.c_str(), &found), 0) << path;
  return found;
}

TEST(RuntimeDir, IsForItsOwnerToMakeSocketsIn) {
  const test::TempDir scratch;
  const std::string path = scratch.at("run/hostb");
  ASSERT_TRUE(make_directory(path));
  EXPECT_EQ(status(path).st_mode & 07777, 0711u);
  ASSERT_EQ(::chmod(path.c_str(), 0777), 0);
  ASSERT_TRUE(make_directory(path));
  EXPECT_EQ(status(path).st_mode & 07777, 0711u) << "of an existing directory too";
}

TEST(RuntimeDir, WhereQemuListensIsForItsGroupAlone) {
  const test::TempDir scratch;
  const std::string path = scratch.at("hosta");
  ASSERT_TRUE(make_directory_for("", path));
  EXPECT_EQ(status(path).st_mode & 07777, 0700u);
  EXPECT_ERROR(make_directory_for("nosuchgroup", path), "group nosuchgroup");
  if (::geteuid() != 0) GTEST_SKIP() << "the rest needs root";
  ASSERT_TRUE(make_directory_for("daemon", path));
  EXPECT_EQ(status(path).st_mode & 07777, 0730u);
  EXPECT_NE(status(path).st_gid, 0u);
}

// A user who can write to a directory could otherwise get access to another one through a link.
TEST(RuntimeDir, ALinkIsNotFollowed) {
  const test::TempDir elsewhere;
  const std::string precious = elsewhere.at("precious");
  std::filesystem::create_directory(precious);
  ASSERT_EQ(::chmod(precious.c_str(), 0700), 0);
  const test::TempDir scratch;
  const std::string link = scratch.at("hostb");
  std::filesystem::create_directory_symlink(precious, link);
  EXPECT_ERROR(make_directory(link), link);
  EXPECT_ERROR(make_directory_for("", link), link);
  EXPECT_EQ(status(precious).st_mode & 07777, 0700u);
  // A socket that nobody listens on under this name.
  auto socket = Listener::open({.path = precious + "/a.sock", .host = {}, .port = 0});
  ASSERT_TRUE(socket);
  std::filesystem::rename(precious + "/a.sock", precious + "/b.sock");
  remove_stale_sockets(scratch.at(""));
  EXPECT_TRUE(std::filesystem::exists(precious + "/b.sock"));
}

TEST(RuntimeDir, SocketsOnWhichNobodyListensAreRemoved) {
  const test::TempDir scratch;
  std::filesystem::create_directory(scratch.at("hostb"));
  auto socket = Listener::open({.path = scratch.at("hostb/a.sock"), .host = {}, .port = 0});
  auto left = Listener::open({.path = scratch.at("hostb/b.sock"), .host = {}, .port = 0});
  ASSERT_TRUE(socket && left);
  std::filesystem::rename(scratch.at("hostb/b.sock"), scratch.at("hostb/c.sock"));
  remove_stale_sockets(scratch.at(""));
  EXPECT_TRUE(std::filesystem::exists(scratch.at("hostb/a.sock")));
  EXPECT_FALSE(std::filesystem::exists(scratch.at("hostb/c.sock")));
}

TEST(RuntimeDir, ADirectoryOfSomebodyElsesIsNotTaken) {
  if (::geteuid() != 0) GTEST_SKIP() << "takes root";
  const test::TempDir scratch;
  const std::string path = scratch.at("hostb");
  std::filesystem::create_directory(path);
  ASSERT_EQ(::chown(path.c_str(), 1, 1), 0);
  EXPECT_ERROR(make_directory(path), path, "user 1");
}

TEST(RuntimeDir, ASocketIsGivenToTheGroup) {
  if (::geteuid() != 0) GTEST_SKIP() << "takes root";
  const test::TempDir scratch;
  const std::string path = scratch.at("libvirt-sock");
  auto listener = Listener::open({.path = path, .host = {}, .port = 0});
  ASSERT_TRUE(listener);
  ASSERT_TRUE(give_socket(path, ""));
  EXPECT_EQ(status(path).st_mode & 0777, 0600u);
  ASSERT_TRUE(give_socket(path, "daemon"));
  EXPECT_EQ(status(path).st_mode & 0777, 0660u);
  EXPECT_EQ(status(path).st_uid, 0u);
  EXPECT_NE(status(path).st_gid, 0u);
}

}  // namespace
}  // namespace wherry::daemon
