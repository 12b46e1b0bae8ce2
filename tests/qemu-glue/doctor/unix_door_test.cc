#include "qemu-glue/doctor/unix_door.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "tests/qemu-glue/doctor/support.h"
#include "transport/socket.h"

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

TEST(UnixDoor, OneThatThisUserMayNotUseIsForbidden) {
  const Scratch scratch;
  scratch.write("door", "");
  ::chmod(scratch.path("door").c_str(), 0444);
  if (::access(scratch.path("door").c_str(), W_OK) == 0) GTEST_SKIP() << "root may use any";
  EXPECT_EQ(unix_door(scratch.path("door")), UnixDoor::forbidden);
}

}  // namespace
}  // namespace wherry::doctor
