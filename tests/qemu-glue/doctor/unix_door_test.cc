#include "qemu-glue/doctor/unix_door.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/qemu-glue/doctor/support.h"
#include "transport/socket/listener.h"

namespace wherry::doctor {
namespace {

TEST(UnixDoor, EachStateIsTold) {
  const Scratch scratch;
  const std::string path = scratch.path("door");
  EXPECT_EQ(unix_door(path), UnixDoor::absent);
  EXPECT_EQ(unix_door(scratch.path("no/door")), UnixDoor::absent);
  scratch.write("door", "a file");
  EXPECT_EQ(unix_door(path), UnixDoor::deserted);
  std::filesystem::remove(path);
  auto listener = Listener::open({.path = path, .host = {}, .port = 0});
  ASSERT_TRUE(listener) << listener.error().message;
  EXPECT_EQ(unix_door(path), UnixDoor::open);
}

// Checked as the user nobody, because root can use any socket.
TEST(UnixDoor, OneThatThisUserMayNotUseIsForbidden) {
  const Scratch scratch;
  const std::string path = scratch.path("door");
  scratch.write("door", "");
  ::chmod(scratch.path("").c_str(), 0755);
  ::chmod(path.c_str(), 0444);
  constexpr uid_t kNobody = 65534;
  const pid_t looking = ::fork();
  if (looking == 0) {
    if (::geteuid() == 0 && ::setresuid(kNobody, kNobody, kNobody) != 0) ::_exit(2);
    ::_exit(unix_door(path) == UnixDoor::forbidden ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(looking, &status, 0), looking);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace wherry::doctor
