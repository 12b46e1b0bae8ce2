// Lets those calls of a libvirt client pass that a migration needs at its destination, and no others: whoever
// may migrate guests to a host need not be able to read, change or end the others there.
//
// The calls are those of virsh, of libvirt itself (--p2p), of `wherry migrate` and of similar clients:
// opening a connection, asking what it can do, finding the domain, and the destination's part of each version
// of libvirt's migration protocol. A guest's name and definition are the client's, as in any migration.
//
// Knows bytes alone, one direction of one connection. Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "qemu-glue/gateway/message_splitter.h"

namespace wherry::libvirt {

class MigrationCalls {
 public:
  MigrationCalls();

  // Takes bytes of the client and appends those that pass to `pass`. An Error names the first call that may
  // not: the connection has to end then. Nothing is passed from that call on.
  Result<> take(std::span<const uint8_t> bytes, std::vector<uint8_t>& pass);

 private:
  std::optional<MessageHeader> refused_;
  MessageSplitter splitter_;
};

}  // namespace wherry::libvirt
