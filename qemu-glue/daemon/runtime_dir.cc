#include "qemu-glue/daemon/runtime_dir.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "base/errno.h"
#include "base/fd.h"

namespace wherry::daemon {
namespace {

// For fchown: leaves the group unchanged.
constexpr auto kSame = static_cast<gid_t>(-1);

Result<gid_t> group_named(const std::string& group) {
  if (group.empty()) return kSame;
  if (const ::group* entry = ::getgrnam(group.c_str())) return entry->gr_gid;
  return fail("there is no group {} on this host", group);
}

// An existing path is not followed if it is a link: another user may have made it to have the mode and group
// of another directory changed.
Result<> make(const std::string& path, gid_t group, mode_t mode) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return fail("cannot make the directory {}: {}", path, error.message());
  const Fd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory) return fail("cannot use the directory {}: {}", path, reason(errno));
  struct stat at {};
  ::fstat(directory.get(), &at);
  if (at.st_uid != ::geteuid())
    return fail("the directory {} is owned by user {}: remove it", path, at.st_uid);
  if (::fchown(directory.get(), static_cast<uid_t>(-1), group) != 0)
    return fail("cannot give {} to group {}: {}", path, group, reason(errno));
  if (::fchmod(directory.get(), mode) != 0) return fail("cannot set the mode of {}: {}", path, reason(errno));
  return {};
}

}  // namespace

Result<> make_directory(const std::string& path) {
  return make(path, kSame, 0711);
}

Result<> make_directory_for(const std::string& group, const std::string& path) {
  auto id = group_named(group);
  if (!id) return pass_on(id);
  return make(path, *id, group.empty() ? 0700 : 0730);
}

void remove_stale_sockets(const std::string& runtime_dir) {
  // Read from /proc/net/unix, because QEMU would count a probing connection as a channel.
  std::set<std::string> listened_on;
  std::ifstream sockets("/proc/net/unix");
  if (!sockets) return;  // without it, it is unknown who listens
  for (std::string line; std::getline(sockets, line);) {
    if (const size_t path = line.find('/'); path != std::string::npos) listened_on.insert(line.substr(path));
  }
  std::error_code ignored;
  for (const auto& host : std::filesystem::directory_iterator(runtime_dir, ignored)) {
    if (!host.is_directory(ignored) || host.is_symlink(ignored)) continue;
    for (const auto& file : std::filesystem::directory_iterator(host.path(), ignored)) {
      if (!file.is_socket(ignored) || listened_on.contains(file.path().string())) continue;
      std::filesystem::remove(file.path(), ignored);
    }
  }
}

Result<> give_socket(const std::string& path, const std::string& group) {
  if (group.empty()) return {};
  auto id = group_named(group);
  if (!id) return pass_on(id);
  if (::lchown(path.c_str(), static_cast<uid_t>(-1), *id) != 0)
    return fail("cannot give {} to the group {}: {}", path, group, reason(errno));
  if (::chmod(path.c_str(), 0660) != 0) return fail("cannot set the mode of {}: {}", path, reason(errno));
  return {};
}

}  // namespace wherry::daemon
