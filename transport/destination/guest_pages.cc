#include "transport/destination/guest_pages.h"

#include <algorithm>
#include <utility>

#include "compression/page_history.h"
#include "transport/wire/bounds.h"

namespace wherry {
uint64_t copies_budget(const PageSpace& space, uint64_t affordable) {
  return std::min({default_history(space), affordable, kMostCopies});
}

Result<> GuestPages::name_blocks(const GuestBlocks& blocks, const PageSecret& secret) {
  {
    Lock lock(mutex_);
    if (std::exchange(named_, true)) return fail("the peer named its RAM blocks twice");
  }
  auto placement = site_.blocks(blocks);
  if (!placement) return pass_on(placement);
  Ground ground{.space = blocks.space(), .secret = secret, .placement = std::move(*placement), .copies = {}};
  if (!ground.placement) {
    // It does not shrink later: the source counts on every place that it was told of. If one went, each page
    // that is sent as its changes would come twice.
    const uint64_t bytes = copies_budget(ground.space, affordable_history(0));
    ground.copies = std::make_unique<CopyMirror>(bytes / (ground.space.page_size + KeptCopies::kOverhead),
                                                 ground.space.page_size, secret);
    gate_.ready();  // copies need the order of epochs, but no VMM
  }
  Lock lock(mutex_);
  ground_ = std::move(ground);
  known_.notify_all();
  return {};
}

const GuestPages::Ground* GuestPages::ground() const {
  Lock lock(mutex_);
  return ground_ ? &*ground_ : nullptr;
}

const PageSpace* GuestPages::wait_blocks() {
  Lock lock(mutex_);
  while (!ground_ && !stopped_) known_.wait(mutex_);
  return ground_ ? &ground_->space : nullptr;
}

void GuestPages::stop() {
  gate_.stop();
  Lock lock(mutex_);
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
  may_place(header);
  return gate_.open(header.epoch) ? to : nullptr;
}

void GuestPages::may_place(const FrameHeader& header) {
  placed_ = true;
  if (header.channel != kMainChannel) placed_beside_main_ = true;
}

Result<> GuestPages::finish_epoch(uint16_t channel, uint32_t epoch, uint32_t participants) {
  if (gate_.finish(channel, epoch, participants)) return {};
  return fail("channel {} is {} epochs ahead of another", channel, EpochGate::kMostAhead);
}

GuestPages::Turn GuestPages::wait_turn(const FrameHeader& header, const PageBatch& batch) {
  if (!placement() && !has_references(batch) && !has_copies(batch)) return Turn::any;
  if (placement() && !withdrawn_) may_place(header);
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
    auto resolved = resolve(batch, known.space, known.secret, known.placement.get(),
                            in_order ? known.copies.get() : nullptr, scratch);
    if (!resolved || !*resolved) return resolved;
  }
  if (auto sound = check_sums(batch); !sound) return pass_on(sound);
  return true;
}

// Pages of an opaque channel are not seen here, so the gate cannot order them. The VMM has to, from its
// stream. That goes wrong if it needs something that was placed past it:
// - The rest of the stream refers back to placed pages (kNeedsPages).
// - A data channel becomes opaque after pages of data channels were placed. The VMM does not write a zero
//   page into memory that it takes for untouched, so an older placed page would stay there. (On channels that
//   are still parsed, the sink writes such zero pages out.)
Result<> GuestPages::go_opaque(const FrameHeader& record) {
  // Even if the blocks are not known yet: this channel's own pages may come ahead of them.
  gate_.withdraw();
  if (!withdrawn_.exchange(true)) site_.placement_withdrawn();
  const bool beside_main = record.channel != kMainChannel && placed_beside_main_;
  if (beside_main || (placed_ && (record.flags & kNeedsPages))) {
    return fail(
        "channel {} can no longer be parsed, after pages were placed directly; the guest stays at the "
        "source. Migrate with placement=relay",
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
