#include "transport/source/lane_roster.h"

#include <algorithm>
#include <thread>

#include "base/start_thread.h"

namespace wherry {

LaneRoster::~LaneRoster() {
  std::vector<std::thread> closing;
  for (size_t number = 0; number < lanes_.size(); ++number) {
    auto& sender = lanes_[number].sender;
    if (auto closes = start_thread(fmt::format("lane {} close", number), [&sender] { sender.reset(); })) {
      closing.push_back(std::move(*closes));
    } else {
      sender.reset();
    }
  }
  for (std::thread& thread : closing) thread.join();
}

void LaneRoster::add(std::vector<OpenLane> lanes) {
  Lock lock(mutex_);
  lanes_ = std::move(lanes);
  states_.resize(lanes_.size());
}

std::optional<LaneRoster::Loss> LaneRoster::lose(size_t number, const std::string& why) {
  Loss loss;
  {
    Lock lock(mutex_);
    State& state = states_[number];
    if (done_ || !state.lost.empty()) return std::nullopt;
    state.lost = why;
    loss.last =
        std::none_of(states_.begin(), states_.end(), [](const State& other) { return other.lost.empty(); });
    loss.over_there = state.over_there;
  }
  sender(number).shut();
  return loss;
}

bool LaneRoster::over(size_t number, Side side) {
  Lock lock(mutex_);
  State& state = states_[number];
  (side == Side::source ? state.over_here : state.over_there) = true;
  return state.over_here && state.over_there;
}

void LaneRoster::done() {
  Lock lock(mutex_);
  done_ = true;
}

bool LaneRoster::is_done() const {
  Lock lock(mutex_);
  return done_;
}

bool LaneRoster::any_lost() const {
  Lock lock(mutex_);
  return std::any_of(states_.begin(), states_.end(), [](const State& state) { return !state.lost.empty(); });
}

void LaneRoster::shut() {
  for (OpenLane& lane : lanes_) lane.sender->shut();
}

uint64_t LaneRoster::bytes_waiting() const {
  Lock lock(mutex_);
  uint64_t bytes = 0;
  for (size_t number = 0; number < lanes_.size(); ++number) {
    if (states_[number].lost.empty()) bytes += lanes_[number].sender->bytes_waiting();
  }
  return bytes;
}

uint64_t LaneRoster::bytes_on_way() const {
  Lock lock(mutex_);
  uint64_t bytes = 0;
  for (size_t number = 0; number < lanes_.size(); ++number) {
    if (states_[number].lost.empty()) bytes += lanes_[number].sender->bytes_on_way();
  }
  return bytes;
}

std::vector<LaneRoster::Account> LaneRoster::accounts() const {
  Lock lock(mutex_);
  std::vector<Account> accounts;
  for (size_t number = 0; number < lanes_.size(); ++number) {
    const OpenLane& lane = lanes_[number];
    accounts.push_back(
        {lane.sender->peer(), lane.sender->bytes_sent(), lane.no_fabric, lane.port, states_[number].lost});
  }
  return accounts;
}

}  // namespace wherry
