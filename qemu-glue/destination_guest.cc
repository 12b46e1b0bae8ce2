#include "qemu-glue/destination_guest.h"

#include <algorithm>

namespace wherry::qemu {

DestinationGuest::DestinationGuest(Failure& failure) : failure_(failure) {
  closer_ = failure_.on_fail([this] {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  });
  // When the source leaves, the destination's QEMU fails of it in one way or another. That is not the cause.
  failure_.explain([this]() -> std::optional<Error> {
    std::lock_guard lock(mutex_);
    if (!source_left_ && !cut_short()) return std::nullopt;
    return Error{outcome_locked().detail};
  });
}

DestinationGuest::~DestinationGuest() {
  failure_.explain({});
}

void DestinationGuest::set_blocks(const GuestBlocks& blocks, Skip placed) {
  std::lock_guard lock(mutex_);
  blocks_ = blocks;
  placed_ = std::move(placed);
  have_blocks_ = true;
}

bool DestinationGuest::placing() const {
  std::lock_guard lock(mutex_);
  return std::find(placed_.begin(), placed_.end(), true) != placed_.end();
}

void DestinationGuest::main_dialled(pid_t process) {
  process_ = process;
  std::lock_guard lock(mutex_);
  dialled_ = true;
  changed_.notify_all();
}

bool DestinationGuest::wait_main_dialled() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return dialled_ || stopped_; });
  return !stopped_;
}

void DestinationGuest::note_unparsed() {
  std::lock_guard lock(mutex_);
  unparsed_ = true;
}

void DestinationGuest::note_pages_done() {
  std::lock_guard lock(mutex_);
  pages_done_ = true;
}

void DestinationGuest::note_opaque() {
  std::lock_guard lock(mutex_);
  opaque_ = true;
}

void DestinationGuest::note_source_closed() {
  std::lock_guard lock(mutex_);
  source_closed_ = true;
  source_left_ = !opaque_ && !pages_done_ && !shut_ && !closed_;
}

void DestinationGuest::note_data_ended() {
  std::lock_guard lock(mutex_);
  data_ended_ = true;
}

void DestinationGuest::note_shut(uint32_t value) {
  std::lock_guard lock(mutex_);
  if (!source_left_) shut_ = value;
}

std::optional<Error> DestinationGuest::note_main_closed() {
  std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
  if (source_left_) return Error{outcome_locked().detail};
  if (source_closed_) return std::nullopt;  // QEMU had the whole stream; outcome() says what it made of it
  const Outcome outcome = outcome_locked();
  if (outcome.kind != Outcome::Kind::failed) return std::nullopt;
  return Error{"the destination's QEMU closed the migration before it had the guest; its log says why"};
}

// QEMU closes data channels first when it is done, and at any time when it fails; a lost one would leave it
// waiting for ever.
bool DestinationGuest::may_close_data() const {
  std::lock_guard lock(mutex_);
  return pages_done_ || unparsed_ || source_closed_ || !blocks_.relay_because.empty();
}

// A source that leaves ends its data channels at about the same time as main, perhaps amid a packet, and the
// destination's QEMU may fail of any of them first.
bool DestinationGuest::cut_short() const {
  return data_ended_ && have_blocks_ && !pages_done_ && !shut_;
}

DestinationGuest::Outcome DestinationGuest::outcome() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return closed_ || stopped_ || !dialled_; });
  return outcome_locked();
}

DestinationGuest::Outcome DestinationGuest::outcome_locked() const {
  if (shut_) {
    if (*shut_ == 0) return {Outcome::Kind::completed, ""};
    return {Outcome::Kind::failed, "the destination's QEMU could not load the guest; its log says why"};
  }
  if (unparsed_) {
    return {Outcome::Kind::unknown,
            "the stream was opaque, so only QEMU knows how the migration ended: ask the source with "
            "query-migrate"};
  }
  if (pages_done_ && have_blocks_ && !blocks_.confirmed) return {Outcome::Kind::completed, ""};
  return {Outcome::Kind::failed,
          "the source's QEMU ended the migration before the destination had the guest (cancelled, or failed: "
          "query-migrate there says why)"};
}

}  // namespace wherry::qemu
