// The figures of a migration away from a QEMU. QMP's query-migrate has them; libvirt has most of them as the
// statistics of a job (domain/libvirt_source.h).
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "qemu-glue/monitor/migration_status.h"

namespace wherry::qemu {

struct MigrationFigures {
  MigrationPhase phase = MigrationPhase::none;
  uint64_t passes = 0;                // over the guest's memory, including the one that runs
  double remaining = 0;               // bytes that are still to be sent: RAM, and devices that have much
  double dirty_pages = 0;             // pages a second that the guest writes to
  std::optional<uint32_t> page_size;  // bytes of a guest page; nothing: QEMU has not said it yet
  double rate = 0;                    // bytes a second that QEMU sent in its last window of 0.1 s
  double auto_converge = 0;           // the part of the vCPUs' time that QEMU's auto-converge takes, 0 to 1
  std::optional<double> downtime_ms;  // milliseconds for which the guest was stopped
  std::string error;                  // why the migration failed, by QEMU; empty: QEMU does not say

  // Bytes a second that the guest writes to.
  double dirty_rate() const { return dirty_pages * page_size.value_or(4096); }
};

// From an answer to query-migrate. A figure that is missing, or of the wrong type, stays as above.
MigrationFigures figures_of(const nlohmann::json& query_migrate);

}  // namespace wherry::qemu
