#include "qemu-glue/steering/migrating_source.h"

#include <utility>

#include "base/printable.h"
#include "qemu-glue/monitor/json_member.h"
#include "qemu-glue/monitor/migration_figures.h"
#include "qemu-glue/monitor/run_state.h"

namespace wherry {
namespace {

using qemu::MigrationPhase;

// Between two looks at a source that is not steered any more, because it is being cancelled.
constexpr std::chrono::milliseconds kLookAtEnd{100};

constexpr const char* kCut =
    "postcopy stopped half-way, and the guest's memory is on both hosts: go on with migrate-recover at the "
    "destination's QEMU and migrate with resume at the source's";
constexpr const char* kGoneByPostcopy =
    "the guest had gone to the destination by postcopy, and stays stopped here: ask the destination's QEMU "
    "(query-migrate) whether it has all of it";

}  // namespace

MigratingSource::MigratingSource(Monitor& qemu, SourceSteering& steering, GuestHandover& handover,
                                 Around around)
    : qemu_(qemu), steering_(steering), handover_(handover), around_(std::move(around)) {}

Result<> MigratingSource::wait() {
  for (;;) {
    pass_on_cancel();
    auto info = qemu_.execute("query-migrate", {}, kSwitchoverTimeout);
    if (!info) return pass_on(info);
    answer(*info);
    look(*info);
    if (auto ended = end(*info)) return *ended;
  }
}

void MigratingSource::pass_on_cancel() {
  // An Error means that there is nothing to cancel any more.
  if (around_.cancelled && !std::exchange(told_, true)) (void)qemu_.execute("migrate_cancel");
}

// What QEMU waits for, and what it has begun.
void MigratingSource::answer(const nlohmann::json& info) {
  const MigrationPhase phase = qemu::phase_of(info);
  if (phase == MigrationPhase::held && !around_.cancelled) {
    // An Error means that somebody else has told it.
    (void)qemu_.execute("migrate-continue", {{"state", std::string(qemu::name_of(phase))}});
  }
  // QEMU 7.2 says so a moment before it has stopped the guest.
  if (phase == MigrationPhase::shared && !handover_.is_given_up() &&
      qemu::ask_run_state(qemu_) == qemu::RunState::leaves) {
    handover_.given_up(true);
    postcopy_ = handover_.postcopy_begins();
  }
}

// Steers, and waits until the next look is due.
void MigratingSource::look(const nlohmann::json& info) {
  // Nothing comes after the last state, and the guest is away.
  const bool over = is_over(qemu::phase_of(info));
  std::chrono::milliseconds look_in = over ? std::chrono::milliseconds(0) : kLookAtEnd;
  if (!over && !around_.cancelled) {
    const auto looked = steering_.steer(qemu::figures_of(info));
    if (looked) {
      look_in = *looked;
    } else {
      around_.cancel(looked.error().message);
    }
  }
  if (auto watched = handover_.watch(look_in); !watched) around_.cancel(watched.error().message);
  steering_.note();
}

// Nothing: it goes on.
std::optional<Result<>> MigratingSource::end(const nlohmann::json& info) {
  const MigrationPhase phase = qemu::phase_of(info);
  if (phase == MigrationPhase::completed) {
    handover_.given_up(true);
    return postcopy_;
  }
  if (phase == MigrationPhase::cut) {
    handover_.given_up(true);
    return fail("{}", kCut);
  }
  // Some never get to an end (7.2, cancelled in postcopy, or by the destination's death).
  const auto now = std::chrono::steady_clock::now();
  if ((phase == MigrationPhase::gives_up || around_.sent) && !stuck_at_) stuck_at_ = now + around_.patience;
  if (!is_over(phase) && (!stuck_at_ || now < *stuck_at_)) return std::nullopt;
  return failed(info);
}

Result<> MigratingSource::failed(const nlohmann::json& info) {
  const MigrationPhase phase = qemu::phase_of(info);
  if (phase == MigrationPhase::cancelled && !around_.cancelled) cancelled_by_others_ = true;
  const std::string* status = qemu::text_member(info, "status");
  const std::string* error = qemu::text_member(info, "error-desc");
  const std::string says =
      fmt::format("the source's QEMU says: {}{}", status != nullptr ? printable(*status) : "nothing",
                  error != nullptr ? ", " + printable(*error) : "");
  if (!handover_.ran_there() && is_over(phase)) handover_.given_up(false);
  if (!handover_.is_given_up()) return fail("{}", postcopy_ ? says : postcopy_.error().message);
  handover_.keep_stopped_here();
  return fail("{}; {}", says, kGoneByPostcopy);
}

}  // namespace wherry
