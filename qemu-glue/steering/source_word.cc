#include "qemu-glue/steering/source_word.h"

#include <algorithm>
#include <chrono>
#include <utility>

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
bool waits_for_word(Monitor& qemu) {
  const auto capabilities = qemu.execute("query-migrate-capabilities");
  if (!capabilities || !capabilities->is_array()) return false;
  return std::any_of(capabilities->begin(), capabilities->end(), [](const nlohmann::json& each) {
    return each.value("capability", "") == "return-path" && each.value("state", false);
  });
}

}  // namespace

Result<SourceWord> SourceWord::ask(SourceAccess& qemu) {
  auto answer = qemu.monitor().execute("query-migrate");
  for (int asked = 1; answer && !is_over(qemu::phase_of(*answer)) && asked < kQuestions; ++asked) {
    qemu.wait_event(kAgain);
    answer = qemu.monitor().execute("query-migrate");
  }
  if (!answer) return pass_on(answer);
  return SourceWord(qemu, std::move(*answer));
}

std::optional<Ended> SourceWord::verdict() const {
  const auto phase = qemu::phase_of(answer_);
  const bool cancelled = phase == MigrationPhase::cancelled;
  if (phase == MigrationPhase::completed &&
      (qemu_.manner().speaks_for_both || waits_for_word(qemu_.monitor())))
    return Ended{Outcome::completed, ""};
  if (!cancelled && phase != MigrationPhase::failed) return std::nullopt;
  const std::string why = answer_.value("error-desc", cancelled ? "cancelled" : "failed");
  return Ended{cancelled ? Outcome::cancelled : Outcome::failed, "the source's QEMU says: " + why};
}

void SourceWord::complete(Report& report, bool cut_off) const {
  const auto told = verdict();
  const bool failure_counts = qemu_.manner().speaks_for_both && !cut_off;
  if (told && report.outcome == Outcome::unknown && (told->outcome == Outcome::completed || failure_counts)) {
    report.outcome = told->outcome;
    report.error = told->detail;
  }
  if (told && report.outcome == Outcome::failed && told->outcome == Outcome::cancelled)
    report.outcome = Outcome::cancelled;
  // In postcopy, even one that was cut, the guest is stopped for another reason, and QEMU must not be quit.
  const auto phase = qemu::phase_of(answer_);
  const bool stays = phase == MigrationPhase::failed || phase == MigrationPhase::cancelled;
  if (report.outcome != Outcome::completed && stays) {
    if (const auto kept = kept_stopped(qemu_.monitor())) {
      report.outcome = Outcome::unknown;
      report.error += "; " + *kept;
    }
  }
  if (auto downtime = answer_.find("downtime"); downtime != answer_.end() && downtime->is_number())
    report.switchover_ms = downtime->get<double>();
}

}  // namespace wherry
