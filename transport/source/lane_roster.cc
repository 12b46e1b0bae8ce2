#include "transport/source/lane_roster.h"

#include <algorithm>
#include <thread>

#include "base/start_thread.h"

namespace wherry {

LaneRoster::~LaneRoster() {
  std::vector<std::thread> closing;
  for (Lane& lane : lanes_) {
    if (auto closes = start_thread([&lane] { lane.open.sender.reset(); })) {
      closing.push_back(std::move(*closes));
    } else {
      lane.open.sender.reset();
    }
  }
  for (std::thread& thread : closing) thread.join();
}

void LaneRoster::add(std::vector<OpenLane> lanes) {
  for (OpenLane& lane : lanes) lanes_.push_back({.open = std::move(lane), .lost = {}});
}

std::optional<LaneRoster::Loss> LaneRoster::lose(size_t number, const std::string& why) {
  Lane& lane = lanes_[number];
  Loss loss;
  {
    std::lock_guard lock(mutex_);
    if (done_ || !lane.lost.empty()) return std::nullopt;
    lane.lost = why;
    loss.last =
        std::none_of(lanes_.begin(), lanes_.end(), [](const Lane& other) { return other.lost.empty(); });
    loss.over_there = lane.over_there;
  }
  lane.open.sender->shut();
  return loss;
}

bool LaneRoster::over(size_t number, Side side) {
  std::lock_guard lock(mutex_);
  Lane& lane = lanes_[number];
  (side == Side::source ? lane.over_here : lane.over_there) = true;
  return lane.over_here && lane.over_there;
}

void LaneRoster::done() {
  std::lock_guard lock(mutex_);
  done_ = true;
}

bool LaneRoster::is_done() const {
  std::lock_guard lock(mutex_);
  return done_;
}

bool LaneRoster::any_lost() const {
  std::lock_guard lock(mutex_);
  return std::any_of(lanes_.begin(), lanes_.end(), [](const Lane& lane) { return !lane.lost.empty(); });
}

void LaneRoster::shut() {
  for (Lane& lane : lanes_) lane.open.sender->shut();
}

uint64_t LaneRoster::bytes_waiting() const {
  std::lock_guard lock(mutex_);
  uint64_t bytes = 0;
  for (const Lane& lane : lanes_) {
    if (lane.lost.empty()) bytes += lane.open.sender->bytes_waiting();
  }
  return bytes;
}

uint64_t LaneRoster::bytes_on_way() const {
  std::lock_guard lock(mutex_);
  uint64_t bytes = 0;
  for (const Lane& lane : lanes_) {
    if (lane.lost.empty()) bytes += lane.open.sender->bytes_on_way();
  }
  return bytes;
}

std::vector<LaneRoster::Account> LaneRoster::accounts() const {
  std::lock_guard lock(mutex_);
  std::vector<Account> accounts;
  for (const Lane& lane : lanes_) {
    const LaneSender& sender = *lane.open.sender;
    accounts.push_back({sender.peer(), sender.bytes_sent(), lane.open.no_fabric, lane.open.port, lane.lost});
  }
  return accounts;
}

}  // namespace wherry
