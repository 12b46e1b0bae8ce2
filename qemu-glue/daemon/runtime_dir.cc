#include "qemu-glue/daemon/runtime_dir.h"

#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "transport/socket.h"

namespace wherry::daemon {

Result<> make_directory(const std::string& path, const std::string& group) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return fail("cannot make the directory {}: {}", path, error.message());
  return give_to_group(path, group, group.empty() ? 0711 : 0771);
}

void remove_stale_sockets(const std::string& runtime_dir) {
  // Asked of the kernel: a connection to find out would count as a channel for a QEMU that waits.
  std::set<std::string> listened_on;
  std::ifstream sockets("/proc/net/unix");
  if (!sockets) return;  // then nothing shows who listens
  for (std::string line; std::getline(sockets, line);) {
    if (const size_t path = line.find('/'); path != std::string::npos) listened_on.insert(line.substr(path));
  }
  std::error_code ignored;
  for (const auto& host : std::filesystem::directory_iterator(runtime_dir, ignored)) {
    if (!host.is_directory(ignored)) continue;
    for (const auto& file : std::filesystem::directory_iterator(host.path(), ignored)) {
      if (!file.is_socket(ignored) || listened_on.contains(file.path().string())) continue;
      std::filesystem::remove(file.path(), ignored);
    }
  }
}

Result<> give_to_group(const std::string& path, const std::string& group, unsigned mode) {
  if (!group.empty()) {
    const ::group* entry = ::getgrnam(group.c_str());
    if (!entry) return fail("there is no group {} on this host", group);
    if (::chown(path.c_str(), static_cast<uid_t>(-1), entry->gr_gid) != 0) {
      return fail("cannot give {} to the group {}: {}", path, group, reason(errno));
    }
  }
  if (::chmod(path.c_str(), mode) != 0) return fail("cannot set the mode of {}: {}", path, reason(errno));
  return {};
}

}  // namespace wherry::daemon
