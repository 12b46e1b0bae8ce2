// The first error of a session, and what has to be closed because of it.
//
// Threads of a session block in sockets and queues, and an error in one of them has to end them all. So each
// owner of something that blocks registers a closer, which makes the blocked calls return. The first fail()
// runs all closers. A closer must not block or throw. Thread-safe.
#pragma once

#include <chrono>
#include <functional>
#include <list>
#include <optional>

#include "base/event.h"
#include "base/mutex.h"
#include "base/result.h"

namespace wherry {

class Failure {
 public:
  using Closer = std::function<void()>;

  // Keeps a closer registered. Its destructor waits until closers that are running have returned; after that,
  // the closer does not run any more. A closer must not destroy a guard.
  class Guard {
   public:
    Guard() = default;
    Guard(Guard&& other) noexcept;
    Guard& operator=(Guard&& other) noexcept;
    ~Guard();

   private:
    friend class Failure;
    Failure* failure_ = nullptr;
    std::list<Closer>::iterator at_;
  };

  Failure();

  // If the error is the first, records it and runs the closers.
  void fail(Error error);
  // `closer` runs when the session fails: now, if it has failed already.
  [[nodiscard]] Guard on_fail(Closer closer);

  bool failed() const;
  // Raised by the first error.
  const Event& event() const { return event_; }
  // `cause` is called with the first error. If it returns an error, the cause of the first, that is recorded
  // instead. It must not block.
  void explain(std::function<std::optional<Error>()> cause);
  // For a thread that sees the effect of an error which another thread is about to report: waits until there
  // is a first error, at most for `longest`.
  void await_cause(std::chrono::milliseconds longest);
  std::optional<Error> first() const;

 private:
  const Event event_;
  mutable Mutex mutex_;
  Condition closed_;
  std::optional<Error> first_ WHERRY_GUARDED_BY(mutex_);
  std::function<std::optional<Error>()> cause_ WHERRY_GUARDED_BY(mutex_);
  std::list<Closer> closers_;  // changes with the lock held, and not while closing_ is true
  bool closing_ WHERRY_GUARDED_BY(mutex_) = false;
};

}  // namespace wherry
