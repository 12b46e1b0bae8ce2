// The rate at which the network drains what the lanes of a session send, and each lane's part of it.
//
// It is measured in windows, while bytes wait for the network: only then does the network show what it can.
// While none wait it grows by itself, fast until it was measured a few times. A lane's part is its part of
// what was sent lately: lanes that share a link cannot measure it alone.
//
// Not thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

namespace wherry {

class LinkRate {
 public:
  using Clock = std::chrono::steady_clock;

  explicit LinkRate(size_t lanes) : lanes_(lanes) {}

  // What it is said to be, in bytes a second, until it is measured.
  void expect(double rate);
  // Said around the sending of each batch: the bytes that a lane was given so far, and how many of them the
  // network has not sent yet. `doubtful`: encoding takes processor time that sending needs as well, so a
  // network that seems slower than before need not be.
  void note(size_t lane, uint64_t given, uint64_t waiting, Clock::time_point now, bool doubtful);

  double rate() const { return rate_; }  // bytes a second of all lanes
  bool known() const { return measured_ > 0; }
  double part(size_t lane) const;  // 0 to 1
  size_t lanes() const { return lanes_.size(); }

 private:
  struct Lane {
    uint64_t sent = 0;
    uint64_t waiting = 0;
    double recent = 0;  // bytes sent lately
  };
  void measure(double seconds, uint64_t sent, bool busy, bool doubtful);

  std::vector<Lane> lanes_;
  double rate_ = 0.5e9;
  uint32_t measured_ = 0;      // how often
  Clock::time_point seen_;     // when note() was last told
  bool seen_waiting_ = false;  // whether bytes waited then
  // The window that is under way: its length in seconds and the bytes sent in it, and the same of the part of
  // it in which bytes waited.
  double window_ = 0;
  uint64_t sent_ = 0;
  double busy_ = 0;
  uint64_t busy_sent_ = 0;
};

}  // namespace wherry
