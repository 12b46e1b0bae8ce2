#include "transport/flow/flight_window.h"

#include <algorithm>
#include <utility>

#include "compression/page_batch.h"
#include "transport/lane/slots.h"

namespace wherry {
namespace {

constexpr double kExcess = 0.1;      // ε: part of the downtime target that bytes in flight can use up
constexpr double kQemuWindow = 0.1;  // W in seconds: QEMU's BUFFER_DELAY

}  // namespace

FlightRoom::FlightRoom(FlightRoom&& other) noexcept
    : window_(other.window_), channel_(other.channel_), bytes_(std::exchange(other.bytes_, 0)) {}

FlightRoom& FlightRoom::operator=(FlightRoom&& other) noexcept {
  if (this == &other) return *this;
  const FlightRoom old = std::move(*this);  // its destructor returns the room
  window_ = other.window_;
  channel_ = other.channel_;
  bytes_ = std::exchange(other.bytes_, 0);
  return *this;
}

FlightRoom::~FlightRoom() {
  if (bytes_ > 0) window_->give_back(channel_, bytes_);
}

FlightRoom FlightRoom::split(size_t bytes) {
  FlightRoom part;
  part.window_ = window_;
  part.channel_ = channel_;
  part.bytes_ = std::min(bytes, bytes_);
  bytes_ -= part.bytes_;
  return part;
}

void FlightRoom::add(FlightRoom other) {
  if (bytes_ == 0) {
    *this = std::move(other);
  } else {
    bytes_ += std::exchange(other.bytes_, 0);
  }
}

void FlightRoom::landed() {
  if (const size_t bytes = std::exchange(bytes_, 0); bytes > 0) window_->landed(channel_, bytes);
}

FlightWindow::FlightWindow(const Limits& limits) : limits_(limits) {
  rebound();
}

void FlightWindow::rebound() {
  const double target = std::chrono::duration<double>(limits_.downtime).count();
  const double queued = kExcess * kQemuWindow * target / (kQemuWindow + target);
  const double link = std::chrono::duration<double>(round_trip_).count();
  const auto wanted = static_cast<size_t>(goodput_.bytes_per_second() * (queued + link));
  const size_t least = std::max(limits_.lanes, of_channel_.size()) * kSlotBytes;
  state_.bound = std::min(std::max(wanted, least), std::max(limits_.cap, least));
  state_.largest_bound = std::max(state_.largest_bound, state_.bound);
  state_.goodput = goodput_.bytes_per_second();
  batch_bytes_ = std::min<size_t>(state_.bound / (2 * limits_.lanes), kBatchBytes);
}

void FlightWindow::open(uint16_t channel) {
  Lock lock(mutex_);
  of_channel_.emplace(channel, 0);
  rebound();
  freed_.notify_all();
}

void FlightWindow::close(uint16_t channel) {
  Lock lock(mutex_);
  auto found = of_channel_.find(channel);
  if (found == of_channel_.end()) return;
  state_.in_flight -= found->second;
  of_channel_.erase(found);
  rebound();
  freed_.notify_all();
}

// If another channel has less than a slot in flight, the rest of its slot is reserved for it.
size_t FlightWindow::room(uint16_t channel, size_t want) const {
  size_t spoken_for = state_.in_flight;
  for (const auto& [other, bytes] : of_channel_) {
    if (other != channel && bytes < kSlotBytes) spoken_for += kSlotBytes - bytes;
  }
  const size_t own = of_channel_.at(channel);
  size_t room = state_.bound > spoken_for ? state_.bound - spoken_for : 0;
  if (own < kSlotBytes) room = std::max(room, kSlotBytes - own);
  return std::min(room, want);
}

FlightRoom FlightWindow::try_take(uint16_t channel, size_t want) {
  Lock lock(mutex_);
  return grant(channel, room(channel, want));
}

FlightRoom FlightWindow::take(uint16_t channel, size_t want) {
  Lock lock(mutex_);
  for (;;) {
    if (stopped_) return {};
    if (const size_t granted = room(channel, want); granted > 0) return grant(channel, granted);
    freed_.wait(mutex_);
  }
}

FlightRoom FlightWindow::grant(uint16_t channel, size_t bytes) {
  of_channel_[channel] += bytes;
  state_.in_flight += bytes;
  state_.most_in_flight = std::max(state_.most_in_flight, state_.in_flight);
  return {*this, channel, bytes};
}

void FlightWindow::give_back(uint16_t channel, size_t bytes) {
  Lock lock(mutex_);
  release(channel, bytes);
}

void FlightWindow::landed(uint16_t channel, size_t bytes) {
  Lock lock(mutex_);
  if (goodput_.add(bytes, Goodput::Clock::now())) rebound();
  release(channel, bytes);
}

// A closed channel has nothing in flight any more.
void FlightWindow::release(uint16_t channel, size_t bytes) {
  if (auto found = of_channel_.find(channel); found != of_channel_.end()) {
    found->second -= bytes;
    state_.in_flight -= bytes;
  }
  freed_.notify_all();
}

void FlightWindow::set_round_trip(std::chrono::microseconds round_trip) {
  Lock lock(mutex_);
  round_trip_ = round_trip;
}

void FlightWindow::stop() {
  Lock lock(mutex_);
  stopped_ = true;
  freed_.notify_all();
}

FlightWindow::State FlightWindow::state() const {
  Lock lock(mutex_);
  return state_;
}

}  // namespace wherry
