#include "qemu-glue/steering/source_word.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "qemu-glue/monitor/json_member.h"
#include "qemu-glue/monitor/migration_status.h"
#include "qemu-glue/steering/kept_stopped.h"

namespace wherry {
namespace {

using qemu::MigrationPhase;

// Between two questions whether it has come to a last state, and how many there are. libvirt says so when
// both hosts have agreed how the migration went.
constexpr std::chrono::milliseconds kAgain{100};
constexpr int kQuestions = 20;

// Whether QEMU waits for the destination's word before it takes a migration for completed.
bool waits_for_word(convergence::SourceQemu& qemu) {
  constexpr const char* kCapabilities = "query-migrate-capabilities";
  const auto monitor = qemu.monitor_for(kCapabilities);
  if (!monitor) return false;
  const auto capabilities = (*monitor)->execute(kCapabilities);
  if (!capabilities || !capabilities->is_array()) return false;
  return std::any_of(capabilities->begin(), capabilities->end(), [](const nlohmann::json& each) {
    const std::string* name = qemu::text_member(each, "capability");
    return name != nullptr && *name == "return-path" && qemu::is_set(each, "state");
  });
}

}  // namespace

Result<SourceWord> SourceWord::ask(SourceAccess& qemu) {
  auto figures = qemu.qemu().figures();
  for (int asked = 1; figures && !is_over(figures->phase) && asked < kQuestions; ++asked) {
    qemu.wait_event(kAgain);
    figures = qemu.qemu().figures();
  }
  if (!figures) return pass_on(figures);
  return SourceWord(qemu, std::move(*figures));
}

std::optional<Ended> SourceWord::verdict() const {
  const auto phase = last_.phase;
  const bool cancelled = phase == MigrationPhase::cancelled;
  if (phase == MigrationPhase::completed && (qemu_.manner().speaks_for_both || waits_for_word(qemu_.qemu())))
    return Ended{Outcome::completed, ""};
  if (!cancelled && phase != MigrationPhase::failed) return std::nullopt;
  const std::string why = !last_.error.empty() ? last_.error : cancelled ? "cancelled" : "failed";
  return Ended{cancelled ? Outcome::cancelled : Outcome::failed, "the source's QEMU says: " + why};
}

void SourceWord::complete(Report& report, bool cut_off) const {
  Ended& ended = *report.ended;
  const auto told = verdict();
  const bool failure_counts = qemu_.manner().speaks_for_both && !cut_off;
  if (told && ended.outcome == Outcome::unknown && (told->outcome == Outcome::completed || failure_counts))
    ended = *told;
  if (told && ended.outcome == Outcome::failed && told->outcome == Outcome::cancelled)
    ended.outcome = Outcome::cancelled;
  // In postcopy, even one that was cut, the guest is stopped for another reason, and QEMU must not be quit.
  const bool stays = last_.phase == MigrationPhase::failed || last_.phase == MigrationPhase::cancelled;
  const auto monitor = qemu_.qemu().monitor_for("query-status");
  if (ended.outcome != Outcome::completed && stays && monitor) {
    if (const auto kept = kept_stopped(**monitor)) {
      ended.outcome = Outcome::unknown;
      ended.detail += "; " + *kept;
    }
  }
  if (last_.downtime_ms) report.downtime.switchover_ms = last_.downtime_ms;
}

}  // namespace wherry
