#include "qemu-glue/steering/socket_directory.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/errno.h"
#include "transport/socket/endpoint.h"

namespace wherry {
namespace {

// Within the directory: the destination's part, in which its QEMU makes a socket of its own.
constexpr const char* kIncoming = "/incoming";
constexpr const char* kIncomingSocket = "/incoming/qemu";

bool is_other(uid_t user) {
  return user != ::geteuid() && user != 0;
}

}  // namespace

SocketDirectory::SocketDirectory(std::string path) : path_(std::move(path)) {}

SocketDirectory::SocketDirectory(SocketDirectory&& other) noexcept : path_(std::exchange(other.path_, "")) {}

SocketDirectory::~SocketDirectory() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

Result<SocketDirectory> SocketDirectory::make(uid_t source, uid_t destination) {
  const bool for_others = is_other(source) || is_other(destination);
  if (for_others && ::geteuid() != 0) {
    return fail("the QEMUs run as users {} and {}, this is user {}: run wherry as root, or as the same user",
                source, destination, ::geteuid());
  }
  // What TMPDIR names may be for this user alone, too long for a socket's path, or no directory.
  std::error_code none;
  const auto temporary = std::filesystem::absolute(std::filesystem::temp_directory_path(none), none);
  std::string name = (temporary / "wherry-XXXXXX").string();
  if (for_others) {
    name = "/run/wherry-XXXXXX";
  } else if (none || name.size() + std::strlen(kIncomingSocket) > kLongestSocketPath) {
    name = "/tmp/wherry-XXXXXX";
  }
  if (!mkdtemp(name.data())) return fail("cannot make the directory {}: {}", name, reason(errno));
  SocketDirectory directory(name);
  const std::string incoming = name + kIncoming;
  // Nobody else can write there, so these names are what they were made as.
  if ((for_others && ::chmod(name.c_str(), 0711) != 0) || ::mkdir(incoming.c_str(), 0700) != 0 ||
      (is_other(destination) && ::lchown(incoming.c_str(), destination, static_cast<gid_t>(-1)) != 0))
    return fail("cannot make the directory {} for user {}, as whom the destination's QEMU runs: {}", incoming,
                destination, reason(errno));
  return directory;
}

std::string SocketDirectory::outgoing() const {
  return path_ + "/outgoing";
}

std::string SocketDirectory::incoming() const {
  return path_ + kIncomingSocket;
}

}  // namespace wherry
