#include "qemu-glue/daemon/runtime_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <set>

#include "base/errno.h"
#include "base/fd.h"

namespace wherry::daemon {
namespace {

constexpr mode_t kPassable = 0711;

Fd open_directory(int parent, const std::string& name) {
  return Fd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

// The directory `name` of `parent`, which is made if it does not exist. `path` is its name in messages.
Result<Fd> own_directory(int parent, const std::string& name, const std::string& path) {
  const bool made = ::mkdirat(parent, name.c_str(), kPassable) == 0;
  if (!made && errno != EEXIST) return fail("cannot make the directory {}: {}", path, reason(errno));
  Fd directory = open_directory(parent, name);
  if (!directory) return fail("cannot use the directory {}: {}", path, reason(errno));
  if (made && ::fchmod(directory.get(), kPassable) != 0)  // whatever the umask is
    return fail("cannot set the mode of {}: {}", path, reason(errno));
  struct stat at {};
  if (::fstat(directory.get(), &at) != 0) return fail("cannot use the directory {}: {}", path, reason(errno));
  if (at.st_uid != ::geteuid())
    return fail("the directory {} is owned by user {}: remove it", path, at.st_uid);
  if ((at.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return fail("others can write to the directory {} (mode {:04o}): remove it", path, at.st_mode & 07777);
  return directory;
}

Result<Fd> open_runtime_dir(const std::string& runtime_dir) {
  auto path = std::filesystem::path(runtime_dir).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) return fail("cannot make the directory {}: {}", runtime_dir, error.message());
  const Fd parent(::open(path.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!parent) return fail("cannot use the directory {}: {}", path.parent_path().string(), reason(errno));
  return own_directory(parent.get(), path.filename(), runtime_dir);
}

Result<Fd> open_host_dir(const std::string& runtime_dir, const std::string& host) {
  auto above = open_runtime_dir(runtime_dir);
  if (!above) return above;
  return own_directory(above->get(), host, runtime_dir + "/" + host);
}

void for_each_name(int directory, const std::function<void(const std::string&)>& visit) {
  const int copy = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(copy < 0 ? nullptr : ::fdopendir(copy), ::closedir);
  while (const dirent* entry = entries ? ::readdir(entries.get()) : nullptr) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") visit(name);
  }
}

// Removes the directory `name` and the files in it.
void remove_with_files(int parent, const std::string& name) {
  if (const Fd directory = open_directory(parent, name)) {
    for_each_name(directory.get(),
                  [&](const std::string& file) { ::unlinkat(directory.get(), file.c_str(), 0); });
  }
  ::unlinkat(parent, name.c_str(), AT_REMOVEDIR);
}

// The paths of sockets on which a process listens or that are connected. They are not tried by connecting,
// because QEMU would count that as a channel. Nothing if that cannot be read.
std::optional<std::set<std::string>> sockets_in_use() {
  std::set<std::string> used;
  std::ifstream sockets("/proc/net/unix");
  if (!sockets) return std::nullopt;
  for (std::string line; std::getline(sockets, line);) {
    if (const size_t path = line.find('/'); path != std::string::npos) used.insert(line.substr(path));
  }
  return used;
}

}  // namespace

Result<> make_runtime_dir(const std::string& runtime_dir) {
  auto made = open_runtime_dir(runtime_dir);
  if (!made) return pass_on(made);
  return {};
}

Result<> make_host_dir(const std::string& runtime_dir, const std::string& host) {
  auto made = open_host_dir(runtime_dir, host);
  if (!made) return pass_on(made);
  return {};
}

Result<> make_route_dir(const std::string& runtime_dir, const Route& route,
                        const std::optional<LocalUser>& qemu) {
  const std::string path = route.directory(runtime_dir);
  int error = 0;
  // The host's directory goes with its last route, perhaps right now.
  for (int attempt = 0; attempt < 3; ++attempt) {
    auto host = open_host_dir(runtime_dir, route.host);
    if (!host) return pass_on(host);
    if (::mkdirat(host->get(), route.id.c_str(), 0700) != 0) {
      error = errno;
      if (error == ENOENT) continue;
      break;
    }
    const Fd directory = open_directory(host->get(), route.id);
    if (!directory) return fail("cannot use the directory {}: {}", path, reason(errno));
    // The mode first: to change it in a directory of another user takes one more capability.
    const bool set = ::fchmod(directory.get(), qemu ? 0700 : kPassable) == 0;
    if (set && (!qemu || ::fchown(directory.get(), qemu->id, qemu->group) == 0)) return {};
    auto failed = fail("cannot set the owner and mode of {}: {}", path, reason(errno));
    remove_with_files(host->get(), route.id);
    return failed;
  }
  return fail("cannot make the directory {}: {}", path, reason(error));
}

void remove_route_dir(const std::string& runtime_dir, const Route& route) {
  const Fd above = open_directory(AT_FDCWD, runtime_dir);
  if (!above) return;
  if (const Fd host = open_directory(above.get(), route.host)) {
    remove_with_files(host.get(), route.id);
    if (::faccessat(host.get(), route.id.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0)
      spdlog::warn("cannot remove the directory {}: remove it", route.directory(runtime_dir));
  }
  ::unlinkat(above.get(), route.host.c_str(), AT_REMOVEDIR);  // fails if anything is in it
}

void remove_stale_routes(const std::string& runtime_dir) {
  const auto used = sockets_in_use();
  const Fd above = open_directory(AT_FDCWD, runtime_dir);
  if (!used || !above) return;
  const auto in_use = [&](const std::string& below) {
    const std::string path = runtime_dir + "/" + below;
    if (used->contains(path)) return true;
    const auto next = used->lower_bound(path + "/");
    return next != used->end() && next->starts_with(path + "/");
  };
  for_each_name(above.get(), [&](const std::string& host) {
    const Fd directory = open_directory(above.get(), host);
    if (!directory) return;
    for_each_name(directory.get(), [&](const std::string& route) {
      struct stat at {};
      if (::fstatat(directory.get(), route.c_str(), &at, AT_SYMLINK_NOFOLLOW) != 0 ||
          in_use(host + "/" + route))
        return;
      if (S_ISDIR(at.st_mode)) remove_with_files(directory.get(), route);
      if (S_ISSOCK(at.st_mode)) ::unlinkat(directory.get(), route.c_str(), 0);
    });
    ::unlinkat(above.get(), host.c_str(), AT_REMOVEDIR);
  });
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
