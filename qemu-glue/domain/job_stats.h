// The figures of a migration as libvirt gives them (virDomainGetJobStats), memory and disks together.
#pragma once

#include <cstdint>
#include <optional>

#include "qemu-glue/domain/typed_params.h"

namespace wherry::domain {

struct JobStats {
  double elapsed_s = 0;
  uint64_t total = 0;      // bytes of the guest
  uint64_t processed = 0;  // bytes that went; more than `total` where pages went again
  uint64_t remaining = 0;
  uint64_t rate = 0;                       // bytes a second that go
  uint64_t dirty_rate = 0;                 // bytes a second that the guest writes to
  uint64_t passes = 0;                     // over the guest's memory
  std::optional<double> downtime_ms = {};  // before the end, what is expected

  static JobStats read(const TypedParams& params);

  // 0 to 100, and 100 only when nothing remains.
  unsigned percent() const;
  // Until nothing remains, if all goes on like that; nothing if it cannot be known, or is never.
  std::optional<double> seconds_left() const;
};

// What goes on is a migration of a domain away from this host.
bool is_migration_out(const TypedParams& params);

}  // namespace wherry::domain
