// The lanes of a session at the source, and what has become of each.
//
//     open ─▶ lost ─▶ over at both ends: what it had goes over the others
//
// A lane is lost as soon as its worker, the kernel or the destination finds it dead. What it had goes over
// the others only when neither end uses the lane any more. Otherwise a batch that was half-way could be
// placed late, on top of newer pages.
//
// add() comes before all else. Thread-safe after that.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "transport/source/open_lanes.h"

namespace wherry {

class LaneRoster {
 public:
  // What the loss of a lane means.
  struct Loss {
    bool last = false;        // no lane is left
    bool over_there = false;  // the destination does not use it any more, so it need not be told
  };
  // Whose end of a lane.
  enum class Side { source, destination };
  struct Account {
    std::string peer;
    uint64_t bytes = 0;            // bytes sent
    std::string no_fabric;         // as in OpenLane
    std::optional<RdmaPort> port;  // as in OpenLane
    std::string lost;              // why it was lost; empty: it was not
  };

  LaneRoster() = default;
  LaneRoster(const LaneRoster&) = delete;
  LaneRoster& operator=(const LaneRoster&) = delete;
  // Closes all at the same time, because each can take a minute if its link is dead.
  ~LaneRoster();

  void add(std::vector<OpenLane> lanes);
  size_t size() const { return lanes_.size(); }
  LaneSender& sender(size_t number) { return *lanes_[number].sender; }

  // Shuts the lane and records why. Returns nothing if it was lost before, or after done().
  std::optional<Loss> lose(size_t number, const std::string& why);
  // `side` does not use the lane any more. True if neither side does.
  bool over(size_t number, Side side);
  // Everything has arrived. From now on a lane that ends is not lost.
  void done();
  bool is_done() const;
  bool any_lost() const;
  void shut();

  // Of all lanes that are not lost: bytes that wait for the network, and bytes that have not arrived.
  uint64_t bytes_waiting() const;
  uint64_t bytes_on_way() const;
  std::vector<Account> accounts() const;

 private:
  struct State {
    std::string lost;  // why
    bool over_here = false;
    bool over_there = false;
  };

  std::vector<OpenLane> lanes_;  // constant after add()
  mutable Mutex mutex_;
  std::vector<State> states_ WHERRY_GUARDED_BY(mutex_);  // of each lane
  bool done_ WHERRY_GUARDED_BY(mutex_) = false;
};

}  // namespace wherry
