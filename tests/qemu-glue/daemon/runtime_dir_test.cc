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

namespace fs = std::filesystem;

struct stat status(const std::string& path) {
  struct stat found {};
  EXPECT_EQ(::lstat(path.c_str(), &found), 0) << path;
  return found;
}

unsigned mode(const std::string& path) {
  return status(path).st_mode & 07777;
}

Result<Listener> listen_at(const std::string& path) {
  return Listener::open({.path = path, .host = {}, .port = 0});
}

class RuntimeDir : public testing::Test {
 protected:
  RuntimeDir() : run_(scratch_.at("run")) {}

  const test::TempDir scratch_;
  const std::string run_;
  const Route route_{.host = "hostb", .id = "17"};
};

TEST_F(RuntimeDir, IsForItsOwnerToMakeSocketsIn) {
  ASSERT_TRUE(make_route_dir(run_, route_, {}));
  for (const std::string& path : {run_, run_ + "/hostb", run_ + "/hostb/17"})
    EXPECT_EQ(mode(path), 0711u) << path;
  ASSERT_TRUE(make_host_dir(run_, "hostb"));
  ASSERT_TRUE(make_runtime_dir(run_ + "/"));
}

TEST_F(RuntimeDir, ARouteToThisHostIsForTheUserOfQemuAlone) {
  if (::geteuid() != 0) GTEST_SKIP() << "takes root";
  ASSERT_TRUE(make_route_dir(run_, route_, LocalUser{.id = 1, .group = 2}));
  const struct stat made = status(run_ + "/hostb/17");
  EXPECT_EQ(made.st_mode & 07777, 0700u);
  EXPECT_EQ(made.st_uid, 1u);
  EXPECT_EQ(made.st_gid, 2u);
  EXPECT_EQ(status(run_ + "/hostb").st_uid, 0u);
  EXPECT_EQ(mode(run_ + "/hostb"), 0711u);
}

TEST_F(RuntimeDir, TheUmaskDoesNotMatter) {
  const mode_t before = ::umask(0077);
  const auto made = make_route_dir(run_, route_, {});
  ::umask(before);
  ASSERT_TRUE(made);
  EXPECT_EQ(mode(run_ + "/hostb"), 0711u);
}

// What exists is not changed: it may be somebody's who wants it to be.
TEST_F(RuntimeDir, OneThatOthersCanWriteToIsRefused) {
  ASSERT_TRUE(make_host_dir(run_, "hostb"));
  for (const std::string& path : {run_ + "/hostb", run_}) {
    ASSERT_EQ(::chmod(path.c_str(), 0730), 0);
    EXPECT_ERROR(make_route_dir(run_, route_, {}), "others can write to the directory " + path);
    EXPECT_EQ(mode(path), 0730u);
    EXPECT_FALSE(fs::exists(run_ + "/hostb/17"));
  }
}

TEST_F(RuntimeDir, ARouteIsMadeOnce) {
  ASSERT_TRUE(make_route_dir(run_, route_, {}));
  EXPECT_ERROR(make_route_dir(run_, route_, {}), run_ + "/hostb/17: File exists");
}

// A user who can write to a directory could otherwise get access to another one through a link.
TEST_F(RuntimeDir, ALinkIsNotFollowed) {
  const std::string precious = scratch_.at("precious");
  fs::create_directory(precious);
  ASSERT_EQ(::chmod(precious.c_str(), 0700), 0);
  auto socket = listen_at(precious + "/a.sock");
  ASSERT_TRUE(socket);
  fs::rename(precious + "/a.sock", precious + "/b.sock");  // nobody listens under this name
  ASSERT_TRUE(make_runtime_dir(run_));
  fs::create_directory_symlink(precious, run_ + "/hostb");
  EXPECT_ERROR(make_host_dir(run_, "hostb"), run_ + "/hostb");
  EXPECT_ERROR(make_route_dir(run_, route_, {}), run_ + "/hostb");
  remove_route_dir(run_, {.host = "hostb", .id = "b.sock"});
  remove_stale_routes(run_);
  ASSERT_TRUE(make_host_dir(run_, "hostc"));
  fs::create_directory_symlink(precious, run_ + "/hostc/17");
  EXPECT_ERROR(make_route_dir(run_, {.host = "hostc", .id = "17"}, {}), "File exists");
  remove_route_dir(run_, {.host = "hostc", .id = "17"});
  remove_stale_routes(run_);
  EXPECT_TRUE(fs::exists(precious + "/b.sock"));
  EXPECT_EQ(mode(precious), 0700u);
}

TEST_F(RuntimeDir, ARouteGoesWithItsSocketsAndWithTheLastGoesTheHost) {
  const Route other{.host = "hostb", .id = "18"};
  for (const Route& each : {route_, other}) {
    ASSERT_TRUE(make_route_dir(run_, each, {}));
    auto left = listen_at(each.path(run_));
    ASSERT_TRUE(left);
    fs::rename(each.path(run_), each.disks_path(run_));
  }
  remove_route_dir(run_, route_);
  EXPECT_FALSE(fs::exists(run_ + "/hostb/17"));
  EXPECT_TRUE(fs::exists(other.disks_path(run_)));
  remove_route_dir(run_, other);
  EXPECT_FALSE(fs::exists(run_ + "/hostb"));
  EXPECT_TRUE(fs::exists(run_));
}

TEST_F(RuntimeDir, RoutesOnWhichNobodyListensAreRemoved) {
  const Route live{.host = "hostb", .id = "17"};
  const Route dead{.host = "hostb", .id = "18"};
  const Route gone{.host = "hostc", .id = "1"};
  for (const Route& each : {live, dead, gone}) ASSERT_TRUE(make_route_dir(run_, each, {}));
  auto listens = listen_at(live.disks_path(run_));
  auto gateway = listen_at(run_ + "/hostb/libvirt-sock");
  ASSERT_TRUE(listens && gateway);
  {
    auto left = listen_at(dead.path(run_));
    ASSERT_TRUE(left);
    fs::rename(dead.path(run_), dead.disks_path(run_));  // it would remove its own
  }
  remove_stale_routes(run_);
  EXPECT_TRUE(fs::exists(live.disks_path(run_)));
  EXPECT_TRUE(fs::exists(run_ + "/hostb/libvirt-sock"));
  EXPECT_FALSE(fs::exists(run_ + "/hostb/18"));
  EXPECT_FALSE(fs::exists(run_ + "/hostc"));
}

TEST_F(RuntimeDir, ADirectoryOfSomebodyElsesIsNotTaken) {
  if (::geteuid() != 0) GTEST_SKIP() << "takes root";
  ASSERT_TRUE(make_host_dir(run_, "hostb"));
  ASSERT_EQ(::chown((run_ + "/hostb").c_str(), 1, 1), 0);
  EXPECT_ERROR(make_host_dir(run_, "hostb"), "is owned by user 1");
}

TEST_F(RuntimeDir, ASocketIsGivenToTheGroup) {
  if (::geteuid() != 0) GTEST_SKIP() << "takes root";
  ASSERT_TRUE(make_runtime_dir(run_));
  const std::string path = run_ + "/libvirt-sock";
  auto listener = listen_at(path);
  ASSERT_TRUE(listener);
  ASSERT_TRUE(give_socket(path, ""));
  EXPECT_EQ(mode(path), 0600u);
  EXPECT_ERROR(give_socket(path, "nosuchgroup"), "no group nosuchgroup");
  ASSERT_TRUE(give_socket(path, "daemon"));
  EXPECT_EQ(mode(path), 0660u);
  EXPECT_EQ(status(path).st_uid, 0u);
  EXPECT_NE(status(path).st_gid, 0u);
}

}  // namespace
}  // namespace wherry::daemon
