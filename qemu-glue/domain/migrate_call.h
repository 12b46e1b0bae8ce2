// What an operator wants of a migration, under virsh's names, and how libvirt is told: the flags and typed
// parameters of virDomainMigrate3 and virDomainMigrateToURI3. Which of them go together libvirt knows.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "qemu-glue/domain/typed_params.h"

namespace wherry::domain {

struct MigrateOptions {
  bool live = false;  // else the guest is stopped while it is moved
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
  std::optional<std::chrono::seconds> timeout;  // then the guest is suspended, or postcopy begins
  bool timeout_postcopy = false;
  std::string dname;
  std::string xml;             // the text, not the file
  std::string persistent_xml;  // likewise
  bool tls = false;
  std::string tls_destination;
  bool unsafe = false;
  bool abort_on_error = false;

  bool copies_storage() const { return copy_storage_all || copy_storage_inc; }
};

// Where QEMU's connections go, as libvirt's URIs; an empty one is left to libvirt.
struct Ways {
  std::string memory;
  std::string disks;
};

unsigned migrate_flags(const MigrateOptions& options);
TypedParams migrate_params(const MigrateOptions& options, const Ways& ways);

}  // namespace wherry::domain
