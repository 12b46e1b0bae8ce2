#include "qemu-glue/source/qemu_socket.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

namespace wherry {
namespace {

uid_t owner_of_directory(const std::string& path) {
  const auto directory = std::filesystem::path(path).parent_path();
  struct stat at {};
  const bool is_there = ::stat(directory.empty() ? "." : directory.c_str(), &at) == 0;
  return is_there && ::geteuid() == 0 ? at.st_uid : ::geteuid();
}

}  // namespace

Result<Listener> listen_for_qemu(const Endpoint& at, std::optional<uid_t> user) {
  if (!at.is_unix()) return Listener::open(at);
  return Listener::open_for(at, user.value_or(owner_of_directory(at.path)));
}

}  // namespace wherry
