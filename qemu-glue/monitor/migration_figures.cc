#include "qemu-glue/monitor/migration_figures.h"

#include <algorithm>

#include "base/printable.h"
#include "qemu-glue/monitor/guest_page.h"
#include "qemu-glue/monitor/json_member.h"

namespace wherry::qemu {
namespace {

// QEMU 11.1 also says what RAM and devices that have much (VFIO) have left together. It computed that sum up
// to 50 ms ago, or before the pass began. So RAM's own figure is better if there is no such device.
double bytes_left(const nlohmann::json& query_migrate, const nlohmann::json& ram) {
  const double of_ram = number_member(ram, "remaining");
  if (member(query_migrate, "vfio") == nullptr) return of_ram;
  return std::max(of_ram, number_member(query_migrate, "remaining"));
}

}  // namespace

MigrationFigures figures_of(const nlohmann::json& query_migrate) {
  const nlohmann::json* told = member(query_migrate, "ram");
  const nlohmann::json ram = told != nullptr ? *told : nlohmann::json::object();
  MigrationFigures figures;
  figures.phase = phase_of(query_migrate);
  figures.passes = static_cast<uint64_t>(number_member(ram, "dirty-sync-count"));
  figures.remaining = bytes_left(query_migrate, ram);
  figures.dirty_pages = number_member(ram, "dirty-pages-rate");
  figures.page_size = page_size_told(query_migrate);
  figures.rate = number_member(ram, "mbps") * 1e6 / 8;
  figures.auto_converge = number_member(query_migrate, "cpu-throttle-percentage") / 100;
  if (const auto* downtime = member(query_migrate, "downtime"); downtime != nullptr && downtime->is_number())
    figures.downtime_ms = downtime->get<double>();
  if (const auto* error = text_member(query_migrate, "error-desc"); error != nullptr)
    figures.error = printable(*error);
  return figures;
}

}  // namespace wherry::qemu
