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
  bool live = false;  // if false, the guest is stopped during the migration
  bool offline = false;
  bool persistent = false;
  bool undefine_source = false;
  bool suspend = false;
  bool p2p = false;
  bool copy_storage_all = false;
  bool copy_storage_inc = false;
  std::vector<std::string> migrate_disks;
  bool postcopy = false;
  bool postcopy_after_precopy = false;
  bool parallel = false;
  std::optional<int> parallel_connections;
  bool compressed = false;
  bool auto_converge = false;
  std::optional<uint64_t> bandwidth;            // MiB/s
  std::optional<std::chrono::seconds> timeout;  // after it the guest is suspended, or postcopy starts
  bool timeout_postcopy = false;
  std::string dname;
  std::string xml;             // the XML itself, not a file name
  std::string persistent_xml;  // the XML itself, not a file name
  bool tls = false;
  std::string tls_destination;
  bool unsafe = false;
  bool abort_on_error = false;

  bool copies_storage() const { return copy_storage_all || copy_storage_inc; }
};

// Migration URIs for QEMU's connections. If one is empty, libvirt chooses.
struct Ways {
  std::string memory;
  std::string disks;
};

unsigned migrate_flags(const MigrateOptions& options);
TypedParams migrate_params(const MigrateOptions& options, const Ways& ways);

}  // namespace wherry::domain
