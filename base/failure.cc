#include "base/failure.h"

#include <utility>

#include "base/errno.h"

namespace wherry {

// Without the event, threads that wait in poll() could not be woken. So the session fails at once.
Failure::Failure() {
  if (const int error = event_.error()) first_ = {fmt::format("cannot make an event: {}", reason(error))};
}

Failure::Guard::Guard(Guard&& other) noexcept
    : failure_(std::exchange(other.failure_, nullptr)), at_(other.at_) {}

Failure::Guard& Failure::Guard::operator=(Guard&& other) noexcept {
  std::swap(failure_, other.failure_);
  std::swap(at_, other.at_);
  return *this;
}

Failure::Guard::~Guard() {
  if (!failure_) return;
  Lock lock(failure_->mutex_);
  while (failure_->closing_) failure_->closed_.wait(failure_->mutex_);
  failure_->closers_.erase(at_);
}

void Failure::fail(Error error) {
  {
    Lock lock(mutex_);
    if (first_) return;
    std::optional<Error> cause = cause_ ? cause_() : std::nullopt;
    first_ = cause ? std::move(*cause) : std::move(error);
    closing_ = true;
    closed_.notify_all();
  }
  event_.raise();
  // Without the lock: nobody changes the list while closing_ is true.
  for (const Closer& close : closers_) close();
  Lock lock(mutex_);
  closing_ = false;
  closed_.notify_all();
}

Failure::Guard Failure::on_fail(Closer closer) {
  Guard guard;
  guard.failure_ = this;
  bool late = false;
  {
    Lock lock(mutex_);
    while (closing_) closed_.wait(mutex_);
    late = first_.has_value();
    guard.at_ = closers_.insert(closers_.end(), std::move(closer));
  }
  if (late) (*guard.at_)();
  return guard;
}

bool Failure::failed() const {
  Lock lock(mutex_);
  return first_.has_value();
}

void Failure::explain(std::function<std::optional<Error>()> cause) {
  Lock lock(mutex_);
  cause_ = std::move(cause);
}

void Failure::await_cause(std::chrono::milliseconds longest) {
  Lock lock(mutex_);
  const auto until = std::chrono::steady_clock::now() + longest;
  while (!first_ && closed_.wait_until(mutex_, until)) continue;
}

std::optional<Error> Failure::first() const {
  Lock lock(mutex_);
  return first_;
}

}  // namespace wherry
