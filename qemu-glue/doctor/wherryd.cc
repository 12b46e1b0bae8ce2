#include "qemu-glue/doctor/wherryd.h"

#include <fmt/ranges.h>
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
#include "transport/socket/addresses.h"
#include "transport/socket/connect.h"
#include "transport/socket/listener.h"

namespace wherry::doctor {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kHostPatience{2};

// The inode of the socket that listens at a TCP port, from /proc/net/tcp and tcp6; 0 if there is none.
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

// "NAME (process N)" of the process that listens at a TCP port, if this user can see it.
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
  return "a process that only root can see";
}

// The answers of wherryd at each address of the host that it listens on.
struct Answers {
  std::vector<std::string> heard;
  std::vector<std::string> silent;
  std::vector<std::string> elsewhere;  // addresses that this host does not have
};

Answers ask_all(const Endpoint& listen) {
  Answers answers;
  const auto addresses = addresses_of(listen.host);
  if (!addresses) return answers;
  for (const std::string& address : *addresses) {
    Endpoint at{.path = {}, .host = address, .port = 0};
    if (!Listener::open(at)) {
      answers.elsewhere.push_back(address);
      continue;
    }
    at.port = listen.port;
    auto connection = connect_to(at, kHostPatience, kHostPatience);
    const bool alive = connection && ask_alive(std::move(*connection), at);
    (alive ? answers.heard : answers.silent).push_back(address);
  }
  return answers;
}

}  // namespace

Finding configuration(const std::string& file, const Result<daemon::Config>& config, bool runs) {
  if (config) {
    return ok("configuration", fmt::format("{} is valid and names {} peer{}", file, config->peers.size(),
                                           config->peers.size() == 1 ? "" : "s"));
  }
  if (::access(file.c_str(), R_OK) != 0 && errno == EACCES)
    return note("configuration", "this user cannot read " + file, "run wherry doctor as root");
  if (!fs::exists(file)) {
    if (runs) {
      return note("configuration", fmt::format("no {}: wherryd runs without it", file),
                  "name its file with --config, or write one, so that port and peers can be checked");
    }
    return problem("configuration", "there is no " + file,
                   "write it, see wherry.toml(5), or start wherryd with --listen and --peer");
  }
  return problem("configuration", config.error().message,
                 fmt::format("correct it; wherryd --check --config {} checks it", file));
}

Finding runtime_directory(const std::string& directory, const std::string& administrators) {
  struct stat at {};
  if (::stat(directory.c_str(), &at) != 0)
    return problem("directory", "there is no " + directory, "start wherryd, which creates it");
  if (!S_ISDIR(at.st_mode))
    return problem("directory", directory + " is not a directory",
                   fmt::format("rm {}, then start wherryd", directory));
  const std::string found =
      fmt::format("{} has mode {:04o} and owner {}", directory, at.st_mode & 07777, at.st_uid);
  if ((at.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return problem("directory", found + ": users other than root can write to it",
                   fmt::format("chmod go-w {}", directory));
  }
  // A user who runs wherryd as himself can own the directory too.
  if (at.st_uid != 0 && at.st_uid != ::geteuid())
    return problem("directory", found + ": root does not own it", fmt::format("chown root {}", directory));
  if (!administrators.empty() && !::getgrnam(administrators.c_str())) {
    return problem("directory", fmt::format("there is no group {}", administrators),
                   fmt::format("correct administrators in wherry.toml, or addgroup {}", administrators));
  }
  return ok("directory", found);
}

Finding socket_paths(const std::string& directory, const std::vector<std::string>& hosts) {
  std::string longest;
  for (const std::string& host : hosts) {
    const auto route = daemon::Route::make(host);
    if (!route) continue;  // no route can have such a name
    std::string path = route->path(directory);
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
      return note("wherryd", "this user cannot connect to " + socket, "run wherry doctor as root");
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
    return problem("wherryd", status.error().message, "restart wherryd; running migrations continue");
  const auto count = [&](const char* key) { return status->value(key, nlohmann::json::array()).size(); };
  return ok("wherryd",
            fmt::format("runs, with {} routes and {} arrivals", count("routes"), count("arrivals")));
}

Finding secrecy(const daemon::Config& config) {
  if (!config.crosses_network()) return ok("secrecy", "nothing leaves this host");
  return note("secrecy",
              "insecure = true: guests cross the network in the clear; anyone on it can read and change them",
              "give migrations a network of their own; Wherry has no credentials and no encryption yet");
}

Finding port(const Endpoint& listen, bool runs) {
  const Answers answers = ask_all(listen);
  if (answers.heard.empty()) {
    const auto listener = Listener::open(listen);
    if (!listener && listener_inode(listen.port) == 0)
      return problem("port", listener.error().message,
                     "set listen in wherry.toml to an address of this host");
    if (!listener) {
      return problem("port", fmt::format("{}, by {}", listener.error().message, listener_at(listen.port)),
                     "stop that process, or set another port with listen in wherry.toml");
    }
    if (runs) {
      return problem("port", "nobody listens at " + listen.str(),
                     "restart wherryd, so that it uses the listen of its file");
    }
  } else if (!answers.silent.empty()) {
    return problem("port",
                   fmt::format("wherryd answers at {} of {}, but not at {}", fmt::join(answers.heard, ", "),
                               listen.str(), fmt::join(answers.silent, ", ")),
                   "restart wherryd, so that it listens at all of them");
  }
  const std::string found =
      answers.heard.empty() ? listen.str() + " is free" : "wherryd answers at " + listen.str();
  if (is_loopback_name(listen.host)) {
    return problem(
        "port",
        fmt::format("{}, but no other host reaches it: {} is a loopback address here", found, listen.host),
        fmt::format("set listen in wherry.toml to an address of this host, or correct {} in /etc/hosts",
                    listen.host));
  }
  if (answers.elsewhere.empty()) return ok("port", found);
  return note("port",
              fmt::format("{}; {} is not an address of this host", found, fmt::join(answers.elsewhere, ", ")),
              fmt::format("correct {} in /etc/hosts or DNS", listen.host));
}

}  // namespace wherry::doctor
