// Which pages may land now.
//
// Pages of one epoch may land in any order, on any lane; those of epoch e+1 only when every channel that
// takes part has delivered epoch e whole, because the same page may be in both. A channel's landing thread
// reports each epoch it has finished: everything of it placed or written. Channel 0 says with each of its
// epochs how many channels take part.
//
// The gate opens when ready() says that the destination stands past its setup. It can be withdrawn: from then
// on nothing lands by placement any more and what has not landed goes through the channels.
//
// Thread-safe. Nobody blocks here but the landing thread of the channel concerned, so channels cannot stop
// one another in any other way than their order demands.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>

namespace wherry {

class EpochGate {
 public:
  enum class Verdict { land, withdrawn, stopped };

  // The destination can take pages now.
  void ready();
  // Whether pages of this epoch may land at once.
  bool open(uint32_t epoch) const;
  // Waits until pages of this epoch may land, or never will.
  Verdict wait(uint32_t epoch);
  // `channel` has delivered everything of `epoch`. `participants` counts only from channel 0.
  void finish(uint16_t channel, uint32_t epoch, uint32_t participants);
  void withdraw();
  void stop();

 private:
  struct Count {
    uint32_t finished = 0;
    std::optional<uint32_t> participants;
  };
  bool open_locked(uint32_t epoch) const { return ready_ && !withdrawn_ && epoch <= open_; }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<uint32_t, Count> counts_;
  uint32_t open_ = 0;
  bool ready_ = false;
  bool withdrawn_ = false;
  bool stopped_ = false;
};

}  // namespace wherry
