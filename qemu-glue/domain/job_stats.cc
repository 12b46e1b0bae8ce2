#include "qemu-glue/domain/job_stats.h"

#include <algorithm>

namespace wherry::domain {
namespace {

// Bytes per second: one page in each of QEMU's windows of 0.1 s. At a lower rate only the stream's first
// bytes have been sent.
constexpr uint64_t kPages = 40960;

}  // namespace

JobStats JobStats::read(const TypedParams& params) {
  const auto number = [&params](const char* name) { return params.number(name).value_or(0); };
  JobStats stats;
  stats.elapsed_s = static_cast<double>(number(VIR_DOMAIN_JOB_TIME_ELAPSED)) / 1000;
  stats.total = number(VIR_DOMAIN_JOB_DATA_TOTAL);
  stats.processed = number(VIR_DOMAIN_JOB_DATA_PROCESSED);
  stats.remaining = number(VIR_DOMAIN_JOB_DATA_REMAINING);
  stats.rate = number(VIR_DOMAIN_JOB_MEMORY_BPS) + number(VIR_DOMAIN_JOB_DISK_BPS);
  stats.dirty_rate = number(VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE) * number(VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE);
  stats.passes = number(VIR_DOMAIN_JOB_MEMORY_ITERATION);
  if (auto downtime = params.number(VIR_DOMAIN_JOB_DOWNTIME)) stats.downtime_ms = *downtime;
  return stats;
}

unsigned JobStats::percent() const {
  if (total == 0) return 0;
  if (remaining == 0) return 100;
  const double part = static_cast<double>(remaining) / static_cast<double>(total);
  return static_cast<unsigned>(std::clamp(100 - 100 * part, 0.0, 99.0));
}

std::optional<double> JobStats::seconds_left() const {
  if (total == 0 || rate < kPages || rate <= dirty_rate) return std::nullopt;
  return static_cast<double>(remaining) / static_cast<double>(rate - dirty_rate);
}

bool is_migration_out(const TypedParams& params) {
  return params.integer(VIR_DOMAIN_JOB_OPERATION) == VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT;
}

}  // namespace wherry::domain
