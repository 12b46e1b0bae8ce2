#include "transport/destination/berth.h"

#include <algorithm>
#include <utility>

namespace wherry {

Berth::Berth(Inflow& inflow, ChannelFrames::Claim claim, Arrival frame)
    : inflow_(&inflow), claim_(std::move(claim)), frame_(std::move(frame)) {}

std::span<uint8_t> Berth::make_room(size_t length, Slot slot) {
  frame_.slot = std::move(slot);
  if (frame_.slot) return {frame_.slot.get(), length};
  frame_.body.resize(length);
  return frame_.body;
}

void Berth::name_pages(PageBatch pages) {
  frame_.pages = std::move(pages);
  placement_ = inflow_->guest.open(frame_.header, frame_.pages);
}

bool Berth::targets(std::vector<iovec>& where) {
  const bool raw = std::all_of(frame_.pages.runs.begin(), frame_.pages.runs.end(), [](const PageRun& run) {
    return run.kind == PageKind::zero || run.kind == PageKind::raw;
  });
  in_place_ = placement_ && raw && frame_.header.pack_length == 0 && placement_->targets(frame_.pages, where);
  return in_place_;
}

Result<bool> Berth::place(std::vector<uint8_t>& scratch) {
  if (!placement_) return true;
  if (!in_place_) {
    auto whole = complete(true, scratch);
    if (!whole || !*whole) return whole;
  }
  if (auto placed = placement_->place(frame_.pages, in_place_); !placed) return pass_on(placed);
  frame_.placed = true;
  return true;
}

Result<bool> Berth::complete(bool in_order, std::vector<uint8_t>& scratch) {
  auto whole = inflow_->guest.complete(frame_.pages, in_order, scratch);
  if (!whole || *whole) return whole;
  if (auto asked = ask_again(); !asked) return pass_on(asked);
  return false;
}

Result<> Berth::ask_again() {
  claim_ = {};  // first, because the batch can come again before this returns
  ++inflow_->asked_again;
  return inflow_->again(frame_.header.channel, frame_.header.sequence);
}

Result<> Berth::arrive() && {
  if (frame_.placed) {
    // The memory is released first: the source can send as much again once it is told.
    frame_ = Arrival{.header = frame_.header, .pages = {}, .body = {}, .slot = {}, .placed = true};
    inflow_->placed_pages += frame_.header.pages;
    auto told = inflow_->acknowledge(frame_.header.channel, frame_.header.sequence);
    if (!told) return told;
  }
  return std::move(claim_).arrive(std::move(frame_));
}

Result<> Berth::landed(bool last) && {
  if (auto landed = std::move(claim_).landed(last); !landed || frame_.placed) return landed;
  frame_.slot.reset();  // first: the source can send as much again once it is told
  return inflow_->acknowledge(frame_.header.channel, frame_.header.sequence);
}

}  // namespace wherry
