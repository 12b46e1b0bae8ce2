// The figures of a migration from libvirt (virDomainGetJobStats), memory and disks together.
#pragma once

#include <cstdint>
#include <optional>

#include "qemu-glue/domain/typed_params.h"

namespace wherry::domain {

struct JobStats {
  double elapsed_s = 0;
  uint64_t total = 0;                      // bytes of the guest
  uint64_t processed = 0;                  // bytes sent; more than `total` if pages were sent again
  uint64_t remaining = 0;                  // bytes
  uint64_t rate = 0;                       // bytes sent per second
  uint64_t dirty_rate = 0;                 // bytes dirtied per second
  uint64_t passes = 0;                     // passes over the guest's memory
  std::optional<double> downtime_ms = {};  // expected before the end, measured after it

  static JobStats read(const TypedParams& params);

  // 0 to 100, and 100 only when nothing remains.
  unsigned percent() const;
  // Seconds until nothing remains, at the present rates; nothing if unknown or never.
  std::optional<double> seconds_left() const;
};

// Whether the job is an outgoing migration.
bool is_migration_out(const TypedParams& params);

}  // namespace wherry::domain
