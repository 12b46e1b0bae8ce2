// Limits the rate at which all lanes of a session together hand bytes to the network.
//
// What a lane hands over becomes a debt, which is paid off at the rate. While there is a debt, no lane hands
// over more. So a lane encodes its next batch while the last is being paid for, as it does while the network
// drains. A pause of up to kBurst can be made up for. In a time t, at most rate · (t + kBurst) bytes and one
// frame are sent.
//
// Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/mutex.h"

namespace wherry {

class Pacer {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kBurst{5};

  // `rate` is in bytes a second; 0: no limit.
  explicit Pacer(double rate, Clock::time_point now = Clock::now()) : rate_(rate), paid_(now) {}

  // Waits until `bytes` can be handed over. False after stop().
  bool take(uint64_t bytes);
  // Sets the rate from now on, also for calls that are waiting.
  void set_rate(double rate, Clock::time_point now = Clock::now());
  void stop();
  double rate() const;

  // take() without waiting: whether there is no debt at `now`, so that `bytes` are handed over.
  bool try_take(uint64_t bytes, Clock::time_point now);
  // When the debt will be paid off.
  Clock::time_point due() const;
  // The debt in bytes at `now`, or 0 if there is none.
  uint64_t debt(Clock::time_point now = Clock::now()) const;

 private:
  double owed(Clock::time_point now) const WHERRY_REQUIRES(mutex_);
  bool spend(uint64_t bytes, Clock::time_point now) WHERRY_REQUIRES(mutex_);
  Clock::time_point when_paid() const WHERRY_REQUIRES(mutex_);

  mutable Mutex mutex_;
  Condition changed_;
  double rate_ WHERRY_GUARDED_BY(mutex_);
  // Bytes owed at paid_; negative: bytes that can be made up for.
  double debt_ WHERRY_GUARDED_BY(mutex_) = 0;
  Clock::time_point paid_ WHERRY_GUARDED_BY(mutex_);  // the time until which debt_ is paid off
  bool stopped_ WHERRY_GUARDED_BY(mutex_) = false;
};

}  // namespace wherry
