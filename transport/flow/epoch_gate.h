// Decides which pages can land now.
//
// Pages of one epoch land in any order, on any lane. Pages of epoch e+1 land only when every channel that
// takes part in epoch e has delivered all of it, because the same page can be in both. A channel's landing
// thread reports each epoch that it has finished: everything of it is placed or written. Channel 0 says for
// each of its epochs how many channels take part.
//
// The gate opens with ready(), when the destination is past its setup. It can be withdrawn: from then on,
// pages are not placed any more, and what has not landed goes through the channels.
//
// Thread-safe. Only the landing thread of a channel blocks here, and only for that channel. So channels hold
// each other up only where the order of epochs demands it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "base/mutex.h"

namespace wherry {

class EpochGate {
 public:
  enum class Verdict { land, withdrawn, stopped };

  // The destination is past its setup.
  void ready();
  // Whether pages of this epoch can land at once.
  bool open(uint32_t epoch) const;
  // Waits until pages of this epoch can land, or never will.
  Verdict wait(uint32_t epoch);
  // `channel` has delivered everything of `epoch`. `participants` is ignored unless it comes from channel 0.
  // False if the channels that are ahead have finished more epochs than kMostAhead that are not over: no VMM
  // does that, and each takes memory.
  static constexpr size_t kMostAhead = 4096;
  bool finish(uint16_t channel, uint32_t epoch, uint32_t participants);
  void withdraw();
  void stop();

 private:
  struct Count {
    uint32_t finished = 0;
    std::optional<uint32_t> participants;
  };
  bool is_open(uint32_t epoch) const WHERRY_REQUIRES(mutex_) {
    return ready_ && !withdrawn_ && epoch <= open_;
  }

  mutable Mutex mutex_;
  Condition changed_;
  std::map<uint32_t, Count> counts_ WHERRY_GUARDED_BY(mutex_);
  uint32_t open_ WHERRY_GUARDED_BY(mutex_) = 0;
  bool ready_ WHERRY_GUARDED_BY(mutex_) = false;
  bool withdrawn_ WHERRY_GUARDED_BY(mutex_) = false;
  bool stopped_ WHERRY_GUARDED_BY(mutex_) = false;
};

}  // namespace wherry
