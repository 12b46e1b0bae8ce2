#include "qemu-glue/doctor/unix_door.h"

#include <unistd.h>

#include <cerrno>

#include "transport/socket/connect.h"

namespace wherry::doctor {

UnixDoor unix_door(const std::string& path) {
  constexpr std::chrono::seconds kPatience{2};
  if (::access(path.c_str(), W_OK) != 0) return errno == EACCES ? UnixDoor::forbidden : UnixDoor::absent;
  return connect_to({.path = path, .host = {}, .port = 0}, kPatience, kPatience) ? UnixDoor::open
                                                                                 : UnixDoor::deserted;
}

}  // namespace wherry::doctor
