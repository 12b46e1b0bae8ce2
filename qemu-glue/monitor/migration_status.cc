#include "qemu-glue/monitor/migration_status.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "qemu-glue/monitor/json_member.h"

namespace wherry::qemu {
namespace {

using Phase = MigrationPhase;

constexpr auto kStatuses = std::to_array<std::pair<std::string_view, Phase>>({
    {"none", Phase::none},
    {"setup", Phase::begins},
    {"wait-unplug", Phase::begins},
    {"active", Phase::active},
    {"pre-switchover", Phase::held},
    {"device", Phase::switches},           // from 10.0 on always; before, only after pre-switchover
    {"postcopy-device", Phase::switches},  // from 10.2: the destination loads devices and does not run yet
    {"postcopy-active", Phase::shared},
    {"postcopy-recover-setup", Phase::shared},
    {"postcopy-recover", Phase::shared},
    {"postcopy-paused", Phase::cut},
    {"colo", Phase::switches},  // never ends; wherry migrate refuses it
    {"cancelling", Phase::gives_up},
    {"failing", Phase::gives_up},  // from 11.0
    {"completed", Phase::completed},
    {"failed", Phase::failed},
    {"cancelled", Phase::cancelled},
});

}  // namespace

std::optional<MigrationPhase> phase_named(std::string_view status) {
  const auto* found = std::find_if(kStatuses.begin(), kStatuses.end(),
                                   [status](const auto& each) { return each.first == status; });
  if (found == kStatuses.end()) return std::nullopt;
  return found->second;
}

std::string_view name_of(MigrationPhase phase) {
  const auto* found = std::find_if(kStatuses.begin(), kStatuses.end(),
                                   [phase](const auto& each) { return each.second == phase; });
  return found->first;  // each phase has a name
}

MigrationPhase phase_of(const nlohmann::json& query_migrate) {
  const std::string* status = text_member(query_migrate, "status");
  if (status == nullptr) return Phase::none;
  return phase_named(*status).value_or(Phase::switches);
}

bool is_over(MigrationPhase phase) {
  switch (phase) {
    case Phase::none:
    case Phase::cut:
    case Phase::completed:
    case Phase::failed:
    case Phase::cancelled:
      return true;
    case Phase::begins:
    case Phase::active:
    case Phase::held:
    case Phase::switches:
    case Phase::shared:
    case Phase::gives_up:
      break;
  }
  return false;
}

}  // namespace wherry::qemu
