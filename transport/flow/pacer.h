// Keeps what all lanes of a session hand to the network to a rate.
//
// What a lane hands over becomes a debt, paid off at the rate, and while there is one nobody hands over more.
// So a lane encodes its next batch while the last is being paid for, as it does while the network drains. A
// payer that comes late has kBurst to make up for it. Over a time t no more than rate · (t + kBurst) and a
// frame is sent.
//
// Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace wherry {

class Pacer {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kBurst{5};

  // Bytes a second; 0: no limit.
  explicit Pacer(double rate, Clock::time_point now = Clock::now()) : rate_(rate), paid_(now) {}

  // Waits until it is time to hand over the next bytes. False once stop() was called.
  bool take(uint64_t bytes);
  // Holds from now on, for those who wait as well.
  void set_rate(double rate, Clock::time_point now = Clock::now());
  void stop();
  double rate() const;

  // The parts of take(): whether nothing is owed at that time, so that bytes can be handed over …
  bool try_take(uint64_t bytes, Clock::time_point now);
  // … and when that will be.
  Clock::time_point due() const;
  // Bytes that were handed over too early for the rate.
  uint64_t debt(Clock::time_point now = Clock::now()) const;

 private:
  double owed(Clock::time_point now) const;
  bool spend(uint64_t bytes, Clock::time_point now);
  Clock::time_point when_paid() const;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  double rate_;
  double debt_ = 0;         // bytes, at the time
  Clock::time_point paid_;  // to which it was paid off; negative: what may be made up for
  bool stopped_ = false;
};

}  // namespace wherry
