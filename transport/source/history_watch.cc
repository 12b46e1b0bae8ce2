#include "transport/source/history_watch.h"

#include <chrono>

#include "base/start_thread.h"

namespace wherry {
namespace {

constexpr std::chrono::seconds kLookAgain{1};

}  // namespace

Result<> HistoryWatch::start() {
  look();
  auto thread = start_thread("history", [this] { run(); });
  if (!thread) return pass_on(thread);
  thread_ = std::move(*thread);
  return {};
}

void HistoryWatch::look() {
  const uint64_t before = history_.budget();
  history_.shrink(affordable_(history_.bytes()));
  const uint64_t now = history_.budget();
  if (now < before) trace_("history_shrunk", {{"budget", now}, {"bytes", history_.bytes()}});
}

void HistoryWatch::run() {
  Lock lock(mutex_);
  while (!over_) {
    const auto next = std::chrono::steady_clock::now() + kLookAgain;
    while (!over_ && changed_.wait_until(mutex_, next)) continue;
    if (!over_) look();
  }
}

HistoryWatch::~HistoryWatch() {
  {
    Lock lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

}  // namespace wherry
