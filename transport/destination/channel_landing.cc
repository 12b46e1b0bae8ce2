#include "transport/destination/channel_landing.h"

#include <utility>

#include "base/start_thread.h"

namespace wherry {

ChannelLanding::~ChannelLanding() {
  if (thread_.joinable()) thread_.join();
}

Result<> ChannelLanding::start() {
  auto lands = start_thread("landing " + short_name(number_), [this] { run(); });
  if (!lands) return pass_on(lands);
  thread_ = std::move(*lands);
  return {};
}

void ChannelLanding::run() {
  while (auto next = frames_.take()) {
    Berth berth(inflow_, std::move(next->claim), std::move(next->frame));
    auto landed = land(berth);
    if (!landed) return inflow_.failure.fail(std::move(landed.error()));
    if (*landed == Landed::asked_again) continue;
    const bool last = *landed == Landed::closed;
    if (auto over = std::move(berth).landed(last); !over)
      return inflow_.failure.fail(std::move(over.error()));
    if (last) return;
  }
}

Result<ChannelLanding::Landed> ChannelLanding::land(Berth& berth) {
  const FrameHeader& header = berth.header();
  if (header.epoch != epoch_) return fail("channel {} has a frame of another epoch", number_);
  if (!sink_ && header.type != FrameType::open)
    return fail("channel {} does not begin with its opening", number_);
  Landed landed = Landed::yes;
  Result<> done;
  switch (header.type) {
    case FrameType::open:
      done = land_open(header);
      break;
    case FrameType::record:
      done = land_record(berth);
      break;
    case FrameType::batch:
      return land_pages(berth);
    case FrameType::blocks:  // taken on arrival; here it only keeps its place in the order
      break;
    case FrameType::close:
      done = sink_->close(header.aux == kBothWays);
      landed = Landed::closed;
      break;
    default:
      return fail("channel {} has a frame `{}`", number_, name(header.type));
  }
  if (!done) return pass_on(done);
  return landed;
}

Result<> ChannelLanding::land_open(const FrameHeader& header) {
  if (sink_) return fail("channel {} was opened twice", number_);
  if (header.aux > static_cast<uint32_t>(ChannelKind::disk))
    return fail("channel {} is of unknown kind", number_);
  const auto kind = static_cast<ChannelKind>(header.aux);
  if ((kind == ChannelKind::main) != (number_ == kMainChannel))
    return fail("channel {} is of the wrong kind", number_);
  auto sink = inflow_.site.open(number_, kind);
  if (!sink) return pass_on(sink);
  sink_ = std::move(*sink);
  return {};
}

Result<> ChannelLanding::land_record(const Berth& berth) {
  const FrameHeader& header = berth.header();
  if (header.flags & kPagesDone) pages_done_ = true;
  if ((header.flags & kOpaque) && !pages_done_) {
    if (auto allowed = inflow_.guest.go_opaque(header); !allowed) return allowed;
  }
  if (auto written = sink_->record(berth.body(), header.flags); !written) return written;
  if (!(header.flags & kEpochEnd)) return {};
  return inflow_.guest.finish_epoch(number_, epoch_++, header.aux);
}

Result<ChannelLanding::Landed> ChannelLanding::land_pages(Berth& berth) {
  if (pages_done_) return fail("channel {} has pages after its last ones", number_);
  if (berth.placed()) return Landed::yes;
  GuestPages& guest = inflow_.guest;
  const GuestPages::Turn turn = guest.wait_turn(berth.header(), berth.pages());
  if (turn == GuestPages::Turn::stopped) return fail("the session ended");
  const bool in_order = turn == GuestPages::Turn::in_order;
  if (!in_order && has_references(berth.pages())) {
    // The source encoded it before it knew that epochs have no order any more.
    if (auto asked = berth.ask_again(); !asked) return pass_on(asked);
    return Landed::asked_again;
  }
  auto whole = berth.complete(in_order, scratch_);
  if (!whole) return pass_on(whole);
  if (!*whole) return Landed::asked_again;
  Placement* const placement = in_order ? guest.placement() : nullptr;
  if (placement) {
    if (auto placed = placement->place(berth.pages(), false); !placed) return pass_on(placed);
  }
  (placement ? inflow_.placed_pages : inflow_.relayed_pages) += berth.pages().page_count();
  if (auto written = sink_->pages(berth.pages(), placement != nullptr); !written) return pass_on(written);
  return Landed::yes;
}

}  // namespace wherry
