#include "qemu-glue/monitor/run_state.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/printable.h"
#include "qemu-glue/monitor/json_member.h"

namespace wherry::qemu {
namespace {

constexpr auto kRunStates = std::to_array<std::pair<std::string_view, RunState>>({
    {"running", RunState::live},
    // QEMU from 9.0 on migrates this state. An earlier one wakes the guest when the migration completes.
    {"suspended", RunState::live},
    {"paused", RunState::stopped},
    {"prelaunch", RunState::stopped},
    {"shutdown", RunState::stopped},
    {"io-error", RunState::stopped},
    {"internal-error", RunState::stopped},
    {"guest-panicked", RunState::stopped},
    {"watchdog", RunState::stopped},
    {"colo", RunState::stopped},
    {"debug", RunState::bound},
    {"save-vm", RunState::bound},
    {"restore-vm", RunState::bound},
    {"finish-migrate", RunState::leaves},
    {"postmigrate", RunState::left},
    {"inmigrate", RunState::awaited},
});

std::optional<RunState> state_of(const Result<nlohmann::json>& query_status) {
  const std::string* status = query_status ? text_member(*query_status, "status") : nullptr;
  return status != nullptr ? run_state_named(*status) : std::nullopt;
}

}  // namespace

std::optional<RunState> run_state_named(std::string_view name) {
  const auto* found = std::find_if(kRunStates.begin(), kRunStates.end(),
                                   [name](const auto& each) { return each.first == name; });
  if (found == kRunStates.end()) return std::nullopt;
  return found->second;
}

Result<std::string> ask_status(Monitor& qemu) {
  auto answer = qemu.execute("query-status");
  if (!answer) return pass_on(answer);
  const std::string* status = text_member(*answer, "status");
  if (status == nullptr) return fail("QEMU's answer to query-status has no status");
  return printable(*status);
}

std::optional<RunState> ask_run_state(Monitor& qemu) {
  return state_of(qemu.execute("query-status"));
}

std::optional<RunState> stopped_by_others(Monitor& qemu) {
  const auto now = state_of(qemu.execute("query-status", {}, kSwitchoverTimeout));
  return now == RunState::leaves || now == RunState::left ? std::nullopt : now;
}

}  // namespace wherry::qemu
