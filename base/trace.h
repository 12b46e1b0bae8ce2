// The events of a session as lines of JSON in a file, so that somebody can tell afterwards what happened:
//
//   {"t": 1.234567, "process": 4711, "end": "source", "event": "lane_lost", "lane": 1, "why": "…"}
//
// t is in seconds since the report began (count_from()), or since the trace was opened.
// docs/troubleshooting.md lists the events.
//
// Tracing never holds up a session: a line waits in a queue of kMostWaiting, which a thread of its own
// writes. What does not fit is dropped, and a line with the event "dropped" says how many. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "base/fd.h"
#include "base/mutex.h"
#include "base/result.h"

namespace wherry {

class Trace {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr size_t kMostWaiting = 4096;  // lines

  // Lines are added to a file that is there. Its mode is 0600 if it is new.
  static Result<std::unique_ptr<Trace>> open(const std::string& path);
  // Writes what waits.
  ~Trace();

  // `end` is whose event it is: source or destination. `fields` is an object.
  void event(const char* end, const char* name, const nlohmann::json& fields);
  // Makes that moment the zero of t, from now on: the beginning of a report.
  void count_from(Time since) { since_ = since; }

 private:
  explicit Trace(Fd file) : file_(std::move(file)) {}
  void write_lines();
  nlohmann::json begin_line(const char* name) const;

  const Fd file_;
  std::atomic<Time> since_ = std::chrono::steady_clock::now();
  Mutex mutex_;
  Condition changed_;
  std::deque<std::string> waiting_ WHERRY_GUARDED_BY(mutex_);
  size_t dropped_ WHERRY_GUARDED_BY(mutex_) = 0;  // lines, since the last that was written
  bool over_ WHERRY_GUARDED_BY(mutex_) = false;
  std::thread writer_;
};

// What an end of a session says its events to; without a Trace to nobody.
class Tracer {
 public:
  Tracer() = default;
  Tracer(Trace* trace, const char* end) : trace_(trace), end_(end) {}

  void operator()(const char* event, const nlohmann::json& fields = nlohmann::json::object()) const {
    if (trace_) trace_->event(end_, event, fields);
  }
  explicit operator bool() const { return trace_; }

 private:
  Trace* trace_ = nullptr;
  const char* end_ = "";
};

}  // namespace wherry
