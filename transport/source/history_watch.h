// Keeps the page history to what the host can afford: from the start, and looking again every second. If
// memory runs short, the history shrinks. It does not grow again.
//
// The history must outlive it.
#pragma once

#include <cstdint>
#include <functional>
#include <thread>
#include <utility>

#include "base/mutex.h"
#include "base/result.h"
#include "base/trace.h"
#include "compression/page_history.h"

namespace wherry {

class HistoryWatch {
 public:
  // `affordable`: of how many bytes there are taken, how many may be. `trace` hears when the budget shrinks.
  HistoryWatch(PageHistory& history, Tracer trace,
               std::function<uint64_t(uint64_t taken)> affordable = affordable_history)
      : history_(history), trace_(trace), affordable_(std::move(affordable)) {}
  ~HistoryWatch();

  // When it returns, the history has had its first look.
  Result<> start();

 private:
  void look();
  void run();

  PageHistory& history_;
  const Tracer trace_;
  const std::function<uint64_t(uint64_t)> affordable_;
  Mutex mutex_;
  Condition changed_;
  bool over_ WHERRY_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace wherry
