#include "transport/flow/pacer.h"

#include <algorithm>

namespace wherry {

// The debt in bytes. If negative: bytes that can be sent at once, to make up for a pause.
double Pacer::owed(Clock::time_point now) const {
  const double paid = rate_ * std::chrono::duration<double>(now - paid_).count();
  return std::max(debt_ - paid, -rate_ * std::chrono::duration<double>(kBurst).count());
}

bool Pacer::spend(uint64_t bytes, Clock::time_point now) {
  if (rate_ <= 0) return true;
  const double owed_now = owed(now);
  if (owed_now >= 1) return false;
  debt_ = owed_now + static_cast<double>(bytes);
  paid_ = now;
  return true;
}

Pacer::Clock::time_point Pacer::when_paid() const {
  if (rate_ <= 0) return paid_;
  return paid_ + std::chrono::ceil<Clock::duration>(std::chrono::duration<double>(debt_ / rate_));
}

bool Pacer::take(uint64_t bytes) {
  Lock lock(mutex_);
  while (!stopped_ && !spend(bytes, Clock::now())) changed_.wait_until(mutex_, when_paid());
  return !stopped_;
}

void Pacer::set_rate(double rate, Clock::time_point now) {
  Lock lock(mutex_);
  debt_ = std::max(0.0, owed(now));
  paid_ = now;
  rate_ = rate;
  changed_.notify_all();
}

double Pacer::rate() const {
  Lock lock(mutex_);
  return rate_;
}

void Pacer::stop() {
  Lock lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

bool Pacer::try_take(uint64_t bytes, Clock::time_point now) {
  Lock lock(mutex_);
  return spend(bytes, now);
}

Pacer::Clock::time_point Pacer::due() const {
  Lock lock(mutex_);
  return when_paid();
}

uint64_t Pacer::debt(Clock::time_point now) const {
  Lock lock(mutex_);
  return rate_ > 0 ? static_cast<uint64_t>(std::max(0.0, owed(now))) : 0;
}

}  // namespace wherry
