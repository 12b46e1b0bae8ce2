#include "qemu-glue/monitor/downtime_limit.h"

namespace wherry {

Result<nlohmann::json> set_downtime_limit(Monitor& qemu, std::chrono::milliseconds target) {
  auto before = qemu.execute("query-migrate-parameters");
  if (!before) return pass_on(before);
  auto told = qemu.execute("migrate-set-parameters", {{"downtime-limit", downtime_limit(target).count()}});
  if (!told) return pass_on(told);
  return before->value("downtime-limit", nlohmann::json());
}

Result<> restore_downtime_limit(Monitor& qemu, const nlohmann::json& before) {
  if (before.is_null()) return {};
  auto told = qemu.execute("migrate-set-parameters", {{"downtime-limit", before}});
  if (!told) return pass_on(told);
  return {};
}

}  // namespace wherry
