#include "transport/destination/guest_pages.h"

#include <algorithm>
#include <utility>

#include "compression/page_history.h"

namespace wherry {
namespace {

// In bytes. How large the guest is, the source says.
constexpr uint64_t kMostCopies = uint64_t{8} << 30;

}  // namespace

Result<> GuestPages::name_blocks(const GuestBlocks& blocks) {
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(named_, true)) return fail("the peer named its RAM blocks twice");
  }
  auto placement = site_.blocks(blocks);
  if (!placement) return pass_on(placement);
  Ground ground{.space = blocks.space(), .placement = std::move(*placement), .copies = {}};
  if (!ground.placement) {
    const uint64_t bytes = std::min(default_history(ground.space), kMostCopies);
    ground.copies = std::make_unique<CopyMirror>(bytes / (ground.space.page_size + KeptCopies::kOverhead),
                                                 ground.space.page_size);
    gate_.ready();  // copies need the order of epochs, but no VMM
  }
  std::lock_guard lock(mutex_);
  ground_ = std::move(ground);
  known_.notify_all();
  return {};
}

const GuestPages::Ground* GuestPages::ground() const {
  std::lock_guard lock(mutex_);
  return ground_ ? &*ground_ : nullptr;
}

const PageSpace* GuestPages::wait_blocks() {
  std::unique_lock lock(mutex_);
  known_.wait(lock, [this] { return ground_ || stopped_; });
  return ground_ ? &ground_->space : nullptr;
}

void GuestPages::stop() {
  gate_.stop();
  std::lock_guard lock(mutex_);
  stopped_ = true;
  known_.notify_all();
}

Placement* GuestPages::placement() const {
  const Ground* known = ground();
  return known ? known->placement.get() : nullptr;
}

std::vector<std::span<uint8_t>> GuestPages::memory() const {
  const Placement* to = placement();
  return to ? to->memory() : std::vector<std::span<uint8_t>>();
}

nlohmann::json GuestPages::bases() const {
  const Ground* known = ground();
  std::vector<uint16_t> blocks;
  for (size_t block = 0; known->placement && block < known->space.pages_of_block.size(); ++block) {
    if (known->placement->takes(static_cast<uint16_t>(block))) blocks.push_back(static_cast<uint16_t>(block));
  }
  return {{"blocks", blocks}, {"copies", known->copies ? known->copies->capacity() : 0}};
}

Placement* GuestPages::open(const FrameHeader& header, const PageBatch& batch) {
  Placement* const to = placement();
  if (!to || !to->takes_all(batch)) return nullptr;
  // Said before the gate is asked, so that go_opaque() cannot miss a page that is landing right now.
  placed_ = true;
  if (header.channel != kMainChannel) placed_beside_main_ = true;
  return gate_.open(header.epoch) ? to : nullptr;
}

GuestPages::Turn GuestPages::wait_turn(const FrameHeader& header, const PageBatch& batch) {
  if (!placement() && !has_references(batch) && !has_copies(batch)) return Turn::any;
  switch (gate_.wait(header.epoch)) {
    case EpochGate::Verdict::stopped:
      return Turn::stopped;
    case EpochGate::Verdict::withdrawn:
      return Turn::any;
    case EpochGate::Verdict::land:
      break;
  }
  return Turn::in_order;
}

Result<bool> GuestPages::complete(PageBatch& batch, bool in_order, std::vector<uint8_t>& scratch) {
  if (has_references(batch) || has_copies(batch)) {
    const Ground& known = *ground();  // the batch's table was read by it
    auto resolved =
        resolve(batch, known.space, known.placement.get(), in_order ? known.copies.get() : nullptr, scratch);
    if (!resolved || !*resolved) return resolved;
  }
  if (auto sound = check_sums(batch); !sound) return pass_on(sound);
  return true;
}

// A channel whose pages are no longer seen may carry pages past the gate, so from here on the VMM has to
// order them. It can if it has received, itself, everything that it has to remember. So it cannot if the
// stream refers back to placed pages, nor if a channel of pages becomes opaque after some of them were
// placed: the VMM skips zero pages that it believes untouched. (Those that are still seen the sink writes
// out.)
Result<> GuestPages::go_opaque(const FrameHeader& record) {
  // Even if the blocks are not known yet: this channel's own pages may come ahead of them.
  gate_.withdraw();
  if (!withdrawn_.exchange(true)) site_.placement_withdrawn();
  const bool beside_main = record.channel != kMainChannel && placed_beside_main_;
  if (beside_main || (placed_ && (record.flags & kNeedsPages))) {
    return fail(
        "channel {} can no longer be parsed, after pages were placed directly; the guest stays at the "
        "source. "
        "Migrate with placement=relay",
        record.channel);
  }
  return {};
}

GuestPages::Totals GuestPages::totals() const {
  Totals totals{.withdrawn = withdrawn_};
  const Ground* known = ground();
  if (known && known->copies) {
    totals.copies_bytes = known->copies->bytes();
    totals.copies_budget = known->copies->capacity() * (known->space.page_size + KeptCopies::kOverhead);
  }
  return totals;
}

}  // namespace wherry
