// The options of a migration, under virsh's names, and their translation into the flags and typed parameters
// of virDomainMigrate3 and virDomainMigrateToURI3. libvirt checks which of them exclude each other.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "qemu-glue/domain/typed_params.h"

namespace wherry::domain {

struct MigrateOptions {
  struct Definition {  // of the domain
    bool persistent = false;
    bool undefine_source = false;
    std::string name;            // at the destination
    std::string xml;             // the XML itself, not a file name
    std::string persistent_xml;  // the XML itself, not a file name
  };
  struct Storage {
    bool copy_all = false;
    bool copy_inc = false;
    std::vector<std::string> disks;
    bool copies() const { return copy_all || copy_inc; }
  };
  struct Postcopy {
    bool allowed = false;
    bool after_precopy = false;
    bool at_timeout = false;  // instead of suspending the guest
  };
  struct Parallel {
    bool on = false;
    std::optional<int> connections;
  };
  struct Tls {
    bool on = false;
    std::string destination;
  };

  bool live = false;  // if false, the guest is stopped during the migration
  bool offline = false;
  bool suspend = false;
  bool p2p = false;
  bool compressed = false;
  bool auto_converge = false;
  bool unsafe = false;
  bool abort_on_error = false;
  std::optional<uint64_t> bandwidth;            // MiB/s
  std::optional<std::chrono::seconds> timeout;  // after it the guest is suspended, or postcopy starts
  Definition definition;
  Storage storage;
  Postcopy postcopy;
  Parallel parallel;
  Tls tls;
};

// Migration URIs for QEMU's connections. If one is empty, libvirt chooses.
struct Ways {
  std::string memory;
  std::string disks;
};

unsigned migrate_flags(const MigrateOptions& options);
TypedParams migrate_params(const MigrateOptions& options, const Ways& ways);

}  // namespace wherry::domain
