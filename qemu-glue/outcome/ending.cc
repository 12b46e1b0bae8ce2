#include "qemu-glue/outcome/ending.h"

namespace wherry::qemu {
namespace {

constexpr const char* kSourceLeft =
    "the source's QEMU ended the migration before the destination had the guest: it was cancelled or has "
    "failed (query-migrate there says why)";
constexpr const char* kDestinationLeft =
    "the destination's QEMU closed the migration before it had the guest; its log says why";
constexpr const char* kCouldNotLoad = "the destination's QEMU could not load the guest; its log says why";
constexpr const char* kNotTold =
    "the destination's QEMU has loaded the guest, but the source's QEMU may not have been told and may have "
    "kept it: ask the source's QEMU first (query-migrate), and let the guest run on one host only";
constexpr const char* kShared =
    "postcopy was interrupted, and the guest's memory is on both hosts: recover it with migrate-recover at "
    "the destination, then migrate with resume at the source";
constexpr const char* kSilent =
    "the stream does not tell how the migration ended (it is encrypted, or the capability return-path is "
    "off): ask the destination's QEMU, then the source's, with query-migrate";
constexpr const char* kUnheard =
    "it is not known whether the destination's QEMU has the guest, because its answer did not arrive: ask "
    "it, then the source's QEMU, with query-migrate, and let the guest run on one host only";

}  // namespace

void Ending::will_say() {
  Lock lock(mutex_);
  says_ = Says::yes;
}

void Ending::will_not_say() {
  Lock lock(mutex_);
  if (says_ == Says::not_known) says_ = Says::no;
}

bool Ending::may_have_it() {
  Lock lock(mutex_);
  if (state_ == State::cannot) state_ = State::may;
  return !given_up_;
}

void Ending::fetches() {
  Lock lock(mutex_);
  if (state_ == State::cannot || state_ == State::may) state_ = State::shares;
}

// If the stream ends within the description of the devices, which QEMU does not need, QEMU has the guest and
// yet reports an error (savevm.c:qemu_loadvm_state, seen with 11.1).
void Ending::said(uint32_t shut) {
  Lock lock(mutex_);
  if (shut != 0 && cut_ && state_ == State::may) {
    doubtful_ = true;
    return;
  }
  if (shut != 0 && first_to_leave_ != First::source) could_not_load_ = true;
  if (state_ != State::has_not) state_ = shut == 0 ? State::has : State::has_not;
}

void Ending::asked(bool has_it) {
  Lock lock(mutex_);
  if (state_ == State::may) state_ = has_it ? State::has : State::has_not;
}

void Ending::leaves() {
  Lock lock(mutex_);
  if (first_to_leave_ == First::nobody) first_to_leave_ = First::destination;
}

void Ending::left(bool both_ways) {
  if (both_ways) leaves();
  Lock lock(mutex_);
  if (!both_ways && says_ != Says::yes) return;
  if (first_to_leave_ == First::nobody) first_to_leave_ = First::destination;
  left_ = true;
  const bool would_have_said = state_ == State::may && says_ == Says::yes && !doubtful_;
  if (state_ == State::cannot || would_have_said) state_ = State::has_not;
}

void Ending::source_left(Heard heard) {
  Lock lock(mutex_);
  const bool answered = state_ == State::has || left_;
  const bool perhaps = heard == Heard::perhaps && says_ == Says::not_known;
  if (heard == Heard::nothing || (!answered && !perhaps)) source_left_ = true;
  if (first_to_leave_ == First::nobody && !answered) first_to_leave_ = First::source;
  cut_ = true;
}

void Ending::cut() {
  Lock lock(mutex_);
  cut_ = true;
}

void Ending::never() {
  Lock lock(mutex_);
  if (state_ == State::cannot || state_ == State::may) state_ = State::has_not;
}

bool Ending::give_up() {
  Lock lock(mutex_);
  if (state_ == State::cannot) {
    state_ = State::has_not;
    given_up_ = true;
  }
  return state_ == State::has_not;
}

Ending::State Ending::state() const {
  Lock lock(mutex_);
  return state_;
}

bool Ending::over() const {
  Lock lock(mutex_);
  return left_;
}

bool Ending::left_without_word() const {
  Lock lock(mutex_);
  return source_left_;
}

std::optional<Ended> Ending::known(bool told) const {
  Lock lock(mutex_);
  switch (state_) {
    case State::has:
      // A source's QEMU that left without reading SHUT keeps the guest, unless it was not to wait for SHUT.
      if (!told || doubtful_ || (source_left_ && says_ != Says::no)) return Ended{Outcome::unknown, kNotTold};
      return Ended{Outcome::completed, ""};
    case State::shares:
      return Ended{Outcome::unknown, kShared};
    case State::may:
      return std::nullopt;
    case State::cannot:
    case State::has_not:
      break;
  }
  return Ended{Outcome::failed, why_not()};
}

Ended Ending::ended(bool told) const {
  if (auto known = this->known(told)) return *known;
  Lock lock(mutex_);
  return {Outcome::unknown, says_ == Says::yes ? kUnheard : kSilent};
}

const char* Ending::why_not() const {
  if (could_not_load_) return kCouldNotLoad;
  return first_to_leave_ == First::destination ? kDestinationLeft : kSourceLeft;
}

std::optional<Error> Ending::cause() const {
  Lock lock(mutex_);
  const bool without = state_ == State::cannot || state_ == State::has_not;
  if (!without || first_to_leave_ == First::nobody) return std::nullopt;
  return Error{why_not()};
}

}  // namespace wherry::qemu
