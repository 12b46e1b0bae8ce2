// A directory for the sockets of one migration between two QEMUs of this host, which goes with its owner. It
// has a path at which the source's QEMU is listened for, and one at which the destination's QEMU can listen.
// Each QEMU reaches its own socket, and no other user does.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"

namespace wherry {

class SocketDirectory {
 public:
  // `source` and `destination`: as whom the QEMUs run. Only root can make sockets for others.
  static Result<SocketDirectory> make(uid_t source, uid_t destination);
  SocketDirectory(SocketDirectory&& other) noexcept;
  SocketDirectory& operator=(SocketDirectory&&) = delete;
  ~SocketDirectory();

  std::string outgoing() const;
  std::string incoming() const;

 private:
  explicit SocketDirectory(std::string path);
  std::string path_;
};

}  // namespace wherry
