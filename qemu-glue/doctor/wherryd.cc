#include "qemu-glue/doctor/wherryd.h"

#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "qemu-glue/daemon/errands.h"
#include "qemu-glue/daemon/route.h"
#include "qemu-glue/doctor/peer.h"
#include "qemu-glue/doctor/unix_door.h"

namespace wherry::doctor {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kHostPatience{2};

// The inode of a socket that listens at a TCP port, by /proc/net/tcp and tcp6; 0 if there is none.
uint64_t listener_inode(uint16_t port) {
  for (const char* file : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream sockets(file);
    for (std::string line; std::getline(sockets, line);) {
      // sl local remote state queues timer retransmits uid timeout inode
      std::istringstream fields(line);
      std::string skipped;
      std::string local;
      std::string state;
      uint64_t inode = 0;
      fields >> skipped >> local >> skipped >> state;
      for (int n = 0; n < 5; ++n) fields >> skipped;
      if (fields >> inode && state == "0A" && local.ends_with(fmt::format(":{:04X}", port))) return inode;
    }
  }
  return 0;
}

// "NAME (process N)" of who listens at a TCP port, as far as this user may know.
std::string listener_at(uint16_t port) {
  const std::string socket = fmt::format("socket:[{}]", listener_inode(port));
  std::error_code ignored;
  for (const auto& process : fs::directory_iterator("/proc", ignored)) {
    const std::string id = process.path().filename().string();
    if (id.front() < '0' || id.front() > '9') continue;
    for (const auto& fd : fs::directory_iterator(process.path() / "fd", ignored)) {
      if (fs::read_symlink(fd.path(), ignored) != socket) continue;
      std::string name;
      std::ifstream comm(process.path() / "comm");
      std::getline(comm, name);
      return fmt::format("{} (process {})", name, id);
    }
  }
  return "a process that only root can name";
}

}  // namespace

Finding configuration(const std::string& file, const Result<daemon::Config>& config, bool runs) {
  if (config) {
    return ok("configuration", fmt::format("{} is sound and names {} peer{}", file, config->peers.size(),
                                           config->peers.size() == 1 ? "" : "s"));
  }
  if (::access(file.c_str(), R_OK) != 0 && errno == EACCES)
    return note("configuration", "this user may not read " + file, "run wherry doctor as root");
  if (!fs::exists(file)) {
    if (runs) {
      return note("configuration", fmt::format("no {}: wherryd runs without it", file),
                  "name its file with --config, or write one, so that port and peers can be looked at");
    }
    return problem("configuration", "there is no " + file,
                   "write it, see wherry.toml(5), or start wherryd with --listen and --peer");
  }
  return problem("configuration", config.error().message,
                 fmt::format("mend it; wherryd --check --config {} checks it", file));
}

Finding runtime_directory(const std::string& directory, const std::string& group) {
  struct stat at {};
  if (::stat(directory.c_str(), &at) != 0)
    return problem("directory", "there is no " + directory, "wherryd makes it: start wherryd");
  if (!S_ISDIR(at.st_mode))
    return problem("directory", directory + " is no directory",
                   fmt::format("rm {}, then start wherryd", directory));
  const std::string found =
      fmt::format("{} has mode {:04o} and owner {}", directory, at.st_mode & 07777, at.st_uid);
  if ((at.st_mode & S_IWOTH) != 0) {
    return problem("directory", found + ": anyone can put a socket there",
                   fmt::format("chmod o-w {}", directory));
  }
  // One that runs it as himself is as good as root.
  if (at.st_uid != 0 && at.st_uid != ::geteuid())
    return problem("directory", found + ": it is not root's", fmt::format("chown root {}", directory));
  if (!group.empty()) {
    const ::group* entry = ::getgrnam(group.c_str());
    if (!entry)
      return problem("directory", fmt::format("there is no group {}", group),
                     "set group in wherry.toml to QEMU's");
    if (at.st_gid != entry->gr_gid || (at.st_mode & S_IWGRP) == 0) {
      return problem("directory", fmt::format("{}: the group {} cannot make sockets there", found, group),
                     fmt::format("chgrp {0} {1} && chmod 0771 {1}", group, directory));
    }
  }
  return ok("directory", found);
}

Finding socket_paths(const std::string& directory, const std::vector<std::string>& hosts) {
  std::string longest;
  for (const std::string& host : hosts) {
    const auto route = daemon::Route::make(host);
    if (!route) continue;  // such a name is never asked for
    std::string path = route->longest_path(directory);
    if (path.size() > longest.size()) longest = std::move(path);
  }
  if (longest.size() <= kLongestSocketPath)
    return ok("socket paths", fmt::format("up to {} of {} bytes", longest.size(), kLongestSocketPath));
  return problem("socket paths",
                 fmt::format("{} has {} bytes, {} are allowed", longest, longest.size(), kLongestSocketPath),
                 "a shorter runtime_dir in wherry.toml, on all hosts");
}

Finding running(const std::string& directory) {
  const std::string socket = daemon::errand_socket(directory);
  switch (unix_door(socket)) {
    case UnixDoor::forbidden:
      return note("wherryd", "this user may not connect to " + socket, "run wherry doctor as root");
    case UnixDoor::absent:
      return problem("wherryd", fmt::format("does not run: there is no {}", socket),
                     "start wherryd, as root");
    case UnixDoor::deserted:
      return problem("wherryd", fmt::format("does not run: nobody answers at {}", socket),
                     "start wherryd, as root");
    case UnixDoor::open:
      break;
  }
  const auto status = daemon::ask(directory, {{"command", "status"}});
  if (!status)
    return problem("wherryd", status.error().message, "restart wherryd; migrations go on meanwhile");
  const auto count = [&](const char* key) { return status->value(key, nlohmann::json::array()).size(); };
  return ok("wherryd",
            fmt::format("runs, with {} routes and {} arrivals", count("routes"), count("arrivals")));
}

Finding secrecy(const daemon::Config& config) {
  const auto exposed = [](const Endpoint& host) { return !host.is_loopback(); };
  bool network = config.listen && exposed(config.listen->hosts.front());
  for (const auto& [name, peer] : config.peers)
    network = network || std::any_of(peer.hosts.begin(), peer.hosts.end(), exposed);
  if (!network) return ok("secrecy", "nothing leaves this host");
  return note("secrecy",
              "insecure = true: guests cross the network in the clear, for anyone there to read and change",
              "give migrations a network of their own; there are no credentials and no encryption yet");
}

Finding port(const Endpoint& listen, bool runs) {
  auto connection = connect_to(listen, kHostPatience, kHostPatience);
  if (connection && ask_alive(std::move(*connection), listen))
    return ok("port", "wherryd answers at " + listen.str());
  if (const auto listener = Listener::open(listen); listener) {
    if (!runs) return ok("port", listen.str() + " is free");
    return problem("port", "nobody listens at " + listen.str(),
                   "restart wherryd, so that it takes the listen of its file");
  } else if (listener_inode(listen.port) == 0) {
    return problem("port", listener.error().message, "set listen in wherry.toml to an address of this host");
  } else {
    return problem("port", fmt::format("{}: {} has it", listener.error().message, listener_at(listen.port)),
                   "stop that, or set another port with listen in wherry.toml");
  }
}

}  // namespace wherry::doctor
