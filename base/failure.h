// The first error of a session, and what must end when there is one.
//
// Threads of a session block in sockets and queues; an error in any of them must end all. Each owner of
// something that blocks says how to end it (a closer: it must not block, nor throw); the first fail() runs
// them all. Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <optional>

#include "base/event.h"
#include "base/result.h"

namespace wherry {

class Failure {
 public:
  using Closer = std::function<void()>;

  // Keeps a closer registered; when it goes, the closer has run or never will. Not to be destroyed by a
  // closer.
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

  // Records the error if it is the first, and runs the closers.
  void fail(Error error);
  // `closer` runs when the session fails: now, if it has failed already.
  [[nodiscard]] Guard on_fail(Closer closer);

  bool failed() const;
  // Raised by the first error.
  const Event& event() const { return event_; }
  // Asked when the first error comes: a cause behind it that is known there takes its place. Must not block.
  void explain(std::function<std::optional<Error>()> cause);
  // For who sees an effect whose cause another is about to report: waits until there is a first error, or
  // that long.
  void await_cause(std::chrono::milliseconds longest);
  std::optional<Error> first() const;

 private:
  const Event event_;
  mutable std::mutex mutex_;
  std::condition_variable closed_;
  std::optional<Error> first_;
  std::function<std::optional<Error>()> cause_;
  std::list<Closer> closers_;
  bool closing_ = false;
};

}  // namespace wherry
