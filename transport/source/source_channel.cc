#include "transport/source/source_channel.h"

#include <utility>

namespace wherry {

SourceChannel::SourceChannel(const Session& session, uint16_t number, ChannelKind kind)
    : session_(session), number_(number), kind_(kind) {
  window().open(number);
  OutFrame open;
  open.header.type = FrameType::open;
  open.header.aux = static_cast<uint32_t>(kind);
  send(std::move(open));
  session_.outflow.trace("channel_opened", {{"channel", number}, {"kind", name(kind)}});
}

size_t SourceChannel::take_room(size_t want, bool wait) {
  FlightRoom more = wait ? window().take(number_, want) : window().try_take(number_, want);
  const size_t bytes = more.bytes();
  room_.add(std::move(more));
  return bytes;
}

void SourceChannel::give_back(size_t bytes) {
  (void)room_.split(bytes);
}

size_t SourceChannel::batch_bytes() const {
  return window().batch_bytes();
}

void SourceChannel::record(std::span<const uint8_t> bytes, Slot memory, uint16_t flags, uint32_t aux,
                           size_t charge) {
  OutFrame frame;
  frame.bytes = bytes;
  frame.slot = std::move(memory);
  send_record(std::move(frame), flags, aux, charge);
}

void SourceChannel::record(std::vector<uint8_t> bytes, uint16_t flags, uint32_t aux, size_t charge) {
  OutFrame frame;
  frame.owned = std::move(bytes);
  frame.bytes = frame.owned;
  send_record(std::move(frame), flags, aux, charge);
}

void SourceChannel::send_record(OutFrame frame, uint16_t flags, uint32_t aux, size_t charge) {
  frame.header.type = FrameType::record;
  frame.header.flags = flags;
  frame.header.aux = aux;
  if (flags & kOpaque && !(flags & kPagesDone) && !session_.outflow.outbox.pages_done())
    session_.outflow.lose_order();
  send(std::move(frame), charge);
  if (!(flags & kEpochEnd)) return;
  ++epoch_;
  if (number_ == kMainChannel) session_.outflow.trace("epoch", {{"epoch", epoch_}});
}

void SourceChannel::pages(PageBatch batch, Slot memory, size_t charge) {
  if (session_.failure.failed()) return;  // what was read already goes nowhere, and counts for nothing
  session_.outflow.figures.sent(batch.bytes());
  OutFrame frame;
  frame.header.type = FrameType::batch;
  frame.header.pages = batch.page_count();
  frame.pages = std::move(batch);
  frame.slot = std::move(memory);
  send(std::move(frame), charge);
}

void SourceChannel::blocks(const GuestBlocks& blocks) {
  session_.outflow.history.set_space(blocks.space());
  session_.outflow.blocks_sent = true;
  if (!blocks.relay_because.empty()) session_.outflow.lose_order();
  OutFrame frame;
  frame.header.type = FrameType::blocks;
  frame.owned = nlohmann::json::to_cbor(blocks.to_json());
  frame.bytes = frame.owned;
  send(std::move(frame));
  session_.outflow.trace("blocks",
                         {{"blocks", blocks.blocks.size()}, {"relay_because", blocks.relay_because}});
}

bool SourceChannel::lanes_busy(std::chrono::microseconds wait) const {
  Outflow& outflow = session_.outflow;
  if (outflow.outbox.lanes_busy()) return true;
  const uint64_t waiting = session_.lanes.bytes_waiting() + outflow.pacer.debt();
  return static_cast<double>(waiting) > outflow.chooser.rate() * std::chrono::duration<double>(wait).count();
}

void SourceChannel::close(bool both_ways) {
  OutFrame frame;
  frame.header.type = FrameType::close;
  frame.header.aux = both_ways ? kBothWays : 0;
  send(std::move(frame));
  session_.outflow.trace("channel_closed", {{"channel", number_}, {"both_ways", both_ways}});
}

void SourceChannel::await_landed() {
  (void)session_.outflow.outbox.wait_acknowledged(number_, sequence_ - 1);
}

void SourceChannel::send(OutFrame frame, size_t charge) {
  frame.header.channel = number_;
  frame.header.epoch = epoch_;
  frame.header.sequence = sequence_++;
  frame.disk = kind_ == ChannelKind::disk;
  FlightRoom room = room_.split(charge);
  // No batch can be read without the blocks, so they must not be lost with a lane.
  const bool on_lane = kind_ != ChannelKind::urgent && frame.header.type != FrameType::blocks;
  if (on_lane) return session_.outflow.outbox.push(std::move(frame), std::move(room));
  // Held here as well: the acknowledgement may come before the call that sends it returns.
  const Outbox::Frame kept = session_.outflow.outbox.keep(std::move(frame), std::move(room));
  if (auto sent = session_.control.send(kept->header, kept->bytes); !sent)
    session_.failure.fail(std::move(sent.error()));
}

}  // namespace wherry
