#include "transport/destination/landing.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/start_thread.h"
#include "compression/page_history.h"

namespace wherry {
namespace {

// A peer that keeps to its flight window (at most 128 MiB) never has this much waiting for its turn.
constexpr size_t kMostHeld = 256 * 1024 * 1024;

// What a waiting frame costs here: its body, and what every frame costs.
size_t held(const Arrival& arrival) {
  return arrival.body.size() + (arrival.slot ? kSlotBytes : 0) + 256;
}

}  // namespace

Landing::Landing(LandingSite& site, Tell acknowledge, Tell again, Failure& failure)
    : site_(site), acknowledge_(std::move(acknowledge)), again_(std::move(again)), failure_(failure) {
  closer_ = failure_.on_fail([this] {
    gate_.stop();
    std::lock_guard lock(mutex_);
    stopped_ = true;
    blocks_known_.notify_all();
    for (auto& [number, channel] : channels_) {
      std::lock_guard channel_lock(channel->mutex);
      channel->arrived.notify_all();
    }
  });
}

Landing::~Landing() {
  for (auto& [number, channel] : channels_) channel->thread.join();
}

Result<Landing::Channel*> Landing::channel(uint16_t number) {
  std::lock_guard lock(mutex_);
  if (auto found = channels_.find(number); found != channels_.end()) return found->second.get();
  auto made = std::make_unique<Channel>();
  auto lands = start_thread([this, number, channel = made.get()] { run(number, *channel); });
  if (!lands) return pass_on(lands);
  made->thread = std::move(*lands);
  ++open_channels_;
  return (channels_[number] = std::move(made)).get();
}

Landing::Channel& Landing::known(uint16_t number) {
  std::lock_guard lock(mutex_);
  return *channels_.at(number);
}

Result<bool> Landing::claim(const FrameHeader& header) {
  if (header.channel >= kMaxChannels) return fail("a frame is of channel {}", header.channel);
  auto of = channel(header.channel);
  if (!of) return pass_on(of);
  Channel& its = **of;
  std::lock_guard lock(its.mutex);
  if (header.sequence < its.next) return false;
  if (its.closed) {
    return fail("frame {} of channel {} came behind its close", header.sequence, header.channel);
  }
  return its.here.try_emplace(header.sequence).second;
}

void Landing::release(const FrameHeader& header) {
  Channel& of = known(header.channel);
  std::lock_guard lock(of.mutex);
  of.here.erase(header.sequence);
}

Result<> Landing::arrive(Arrival arrival) {
  if (arrival.placed) {
    placed_pages_ += arrival.header.pages;
    if (auto told = acknowledge_(arrival.header.channel, arrival.header.sequence); !told) return told;
  }
  Channel& to = known(arrival.header.channel);
  std::lock_guard lock(to.mutex);
  const size_t held_now = held_bytes_ += held(arrival);
  if (held_now > kMostHeld) return fail("the peer sends more than agreed");
  const uint64_t sequence = arrival.header.sequence;
  to.here[sequence] = std::move(arrival);
  to.arrived.notify_one();
  return {};
}

Result<> Landing::blocks(const GuestBlocks& blocks) {
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(blocks_named_, true)) return fail("the peer named its RAM blocks twice");
  }
  auto placement = site_.blocks(blocks);
  if (!placement) return pass_on(placement);
  std::lock_guard lock(mutex_);
  space_ = blocks.space();
  placement_ = std::move(*placement);
  if (!placement_) {
    const uint64_t places = default_history(space_) / (space_.page_size + KeptCopies::kOverhead);
    copies_ = std::make_unique<CopyMirror>(std::min<uint64_t>(places, std::numeric_limits<uint32_t>::max()),
                                           space_.page_size);
    gate_.ready();  // copies need its order, but no VMM
  }
  have_blocks_ = true;
  blocks_known_.notify_all();
  return {};
}

std::vector<std::span<uint8_t>> Landing::guest_memory() const {
  std::lock_guard lock(mutex_);
  return placement_ ? placement_->memory() : std::vector<std::span<uint8_t>>();
}

const PageSpace* Landing::wait_blocks() {
  std::unique_lock lock(mutex_);
  blocks_known_.wait(lock, [this] { return have_blocks_ || stopped_; });
  return have_blocks_ ? &space_ : nullptr;
}

Placement* Landing::open_placement(const FrameHeader& header, const PageBatch& batch) {
  if (!placement_ || !placement_->takes_all(batch)) return nullptr;
  // Said before the gate is asked, so that go_opaque() cannot miss a page that is landing right now.
  placed_ = true;
  if (header.channel != kMainChannel) placed_beside_main_ = true;
  return gate_.open(header.epoch) ? placement_.get() : nullptr;
}

nlohmann::json Landing::bases() const {
  std::vector<uint16_t> blocks;
  for (size_t block = 0; placement_ && block < space_.pages_of_block.size(); ++block) {
    if (placement_->takes(static_cast<uint16_t>(block))) blocks.push_back(static_cast<uint16_t>(block));
  }
  return {{"blocks", blocks}, {"copies", copies_ ? copies_->capacity() : 0}};
}

Result<bool> Landing::complete(const FrameHeader& header, PageBatch& batch, CopyMirror* copies,
                               std::vector<uint8_t>& scratch) {
  if (has_references(batch) || has_copies(batch)) {
    auto resolved = resolve(batch, space_, placement_.get(), copies, scratch);
    if (!resolved) return resolved;
    if (!*resolved) {
      if (auto asked = ask_again(header); !asked) return pass_on(asked);
      return false;
    }
  }
  if (auto sound = check_sums(batch); !sound) return pass_on(sound);
  return true;
}

Result<bool> Landing::place(Placement& placement, const FrameHeader& header, PageBatch& batch,
                            std::vector<uint8_t>& scratch) {
  auto whole = complete(header, batch, nullptr, scratch);
  if (!whole || !*whole) return whole;
  if (auto placed = placement.place(batch, false); !placed) return pass_on(placed);
  return true;
}

// Released first: what is sent once more may be here before this returns.
Result<> Landing::ask_again(const FrameHeader& header) {
  release(header);
  return again_(header.channel, header.sequence);
}

void Landing::run(uint16_t number, Channel& channel) {
  for (;;) {
    Arrival arrival;
    {
      std::unique_lock lock(channel.mutex);
      channel.arrived.wait(lock, [&] {
        const auto first = channel.here.begin();
        return stopped_ ||
               (first != channel.here.end() && first->first == channel.next && first->second.has_value());
      });
      if (stopped_) return;
      arrival = *std::exchange(channel.here.begin()->second, std::nullopt);
      held_bytes_ -= held(arrival);
    }
    auto landed = land(number, channel, arrival);
    if (!landed) return failure_.fail(std::move(landed.error()));
    if (*landed == Landed::asked_again) continue;
    {
      std::unique_lock lock(channel.mutex);
      channel.here.erase(channel.next++);
      if (*landed == Landed::closed) {
        channel.closed = true;
        if (!channel.here.empty()) {
          lock.unlock();
          return failure_.fail({fmt::format("channel {} has frames behind its close", number)});
        }
        --open_channels_;
      }
    }
    if (!arrival.placed) {
      arrival.slot.reset();
      auto told = acknowledge_(number, arrival.header.sequence);
      if (!told) return failure_.fail(std::move(told.error()));
    }
    if (*landed == Landed::closed) return;
  }
}

Result<Landing::Landed> Landing::land(uint16_t number, Channel& channel, Arrival& arrival) {
  const FrameHeader& header = arrival.header;
  if (header.epoch != channel.epoch) return fail("channel {} has a frame of another epoch", number);
  if (header.type == FrameType::open) {
    if (channel.sink) return fail("channel {} was opened twice", number);
    if (header.aux > static_cast<uint32_t>(ChannelKind::disk))
      return fail("channel {} is of unknown kind", number);
    channel.kind = static_cast<ChannelKind>(header.aux);
    if ((channel.kind == ChannelKind::main) != (number == kMainChannel)) {
      return fail("channel {} is of the wrong kind", number);
    }
    auto sink = site_.open(number, channel.kind);
    if (!sink) return pass_on(sink);
    channel.sink = std::move(*sink);
    return Landed::yes;
  }
  if (!channel.sink) return fail("channel {} does not begin with its opening", number);
  Result<> landed;
  switch (header.type) {
    case FrameType::record:
      landed = land_record(number, channel, arrival);
      break;
    case FrameType::batch:
      return land_pages(channel, arrival);
    case FrameType::blocks:  // taken on arrival; here it only keeps its place in the order
      break;
    case FrameType::close:
      landed = channel.sink->close(header.aux == kBothWays);
      if (landed) return Landed::closed;
      break;
    default:
      return fail("channel {} has a frame of type {}", number, static_cast<int>(header.type));
  }
  if (!landed) return pass_on(landed);
  return Landed::yes;
}

Result<> Landing::land_record(uint16_t number, Channel& channel, Arrival& arrival) {
  const FrameHeader& header = arrival.header;
  if (header.flags & kPagesDone) channel.pages_done = true;
  if (header.flags & kOpaque) {
    if (auto allowed = go_opaque(channel, header); !allowed) return allowed;
  }
  if (auto written = channel.sink->record(arrival.body, header.flags); !written) return written;
  if (header.flags & kEpochEnd) gate_.finish(number, channel.epoch++, header.aux);
  return {};
}

Result<Landing::Landed> Landing::land_pages(Channel& channel, Arrival& arrival) {
  if (channel.pages_done) return fail("pages came behind the last pages of a channel");
  if (arrival.placed) return Landed::yes;
  bool in_order = false;
  const bool refers = has_references(arrival.pages);
  if (placement_ || refers || has_copies(arrival.pages)) {
    switch (gate_.wait(arrival.header.epoch)) {
      case EpochGate::Verdict::stopped:
        return fail("the session ended");
      case EpochGate::Verdict::withdrawn:
        // Encoded before the source knew that there would be no order of epochs to refer to.
        if (refers) {
          if (auto asked = ask_again(arrival.header); !asked) return pass_on(asked);
          return Landed::asked_again;
        }
        break;
      case EpochGate::Verdict::land:
        in_order = true;
    }
  }
  const bool placed = placement_ && in_order;
  auto done =
      placed ? place(*placement_, arrival.header, arrival.pages, channel.scratch)
             : complete(arrival.header, arrival.pages, in_order ? copies_.get() : nullptr, channel.scratch);
  if (!done) return pass_on(done);
  if (!*done) return Landed::asked_again;
  (placed ? placed_pages_ : relayed_pages_) += arrival.pages.page_count();
  if (auto written = channel.sink->pages(arrival.pages, placed); !written) return pass_on(written);
  return Landed::yes;
}

// A channel whose pages are no longer seen may carry pages past the gate: from here on the VMM has to order
// them. It can as long as it has received, itself, everything that it has to remember of: so not if the
// stream refers back, and not where a channel of pages is not seen behind placed ones (the VMM skips zero
// pages that it believes untouched; those that are seen the sink writes out).
Result<> Landing::go_opaque(Channel& channel, const FrameHeader& header) {
  if (channel.pages_done) return {};
  // Even if the blocks are not known yet: this channel's own pages may come ahead of them.
  gate_.withdraw();
  withdrawn_ = true;
  const bool beside_main = header.channel != kMainChannel && placed_beside_main_;
  if (beside_main || (placed_ && (header.flags & kNeedsPages))) {
    return fail(
        "channel {} can no longer be parsed, after pages were placed directly; the guest stays at the "
        "source. "
        "Migrate with placement=relay",
        header.channel);
  }
  return {};
}

Landing::Totals Landing::totals() const {
  Totals totals{.placed_pages = placed_pages_, .relayed_pages = relayed_pages_, .withdrawn = withdrawn_};
  std::lock_guard lock(mutex_);
  if (copies_) {
    totals.copies_bytes = copies_->bytes();
    totals.copies_budget = copies_->capacity() * (space_.page_size + KeptCopies::kOverhead);
  }
  return totals;
}

}  // namespace wherry
