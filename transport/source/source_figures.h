// What a session has sent, counted. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "base/mutex.h"
#include "compression/batch_encoder.h"

namespace wherry {

class SourceFigures {
 public:
  using Time = std::chrono::steady_clock::time_point;

  void sent(uint64_t bytes_of_pages) { guest_bytes_ += bytes_of_pages; }
  void encoded(const PageCounts& pages) {
    Lock lock(mutex_);
    pages_ += pages;
  }
  // `bytes` of a channel are placed.
  void placed(size_t bytes) {
    if (bytes > 0) placed_ = std::chrono::steady_clock::now();
  }
  void placed_of_disk(size_t bytes) { disk_bytes_ += bytes; }

  uint64_t guest_bytes() const { return guest_bytes_; }
  uint64_t disk_bytes() const { return disk_bytes_; }
  // When the last bytes of the guest were placed.
  Time last_placed() const { return placed_; }
  PageCounts pages() const {
    Lock lock(mutex_);
    return pages_;
  }

 private:
  std::atomic<uint64_t> guest_bytes_ = 0;
  std::atomic<uint64_t> disk_bytes_ = 0;
  std::atomic<Time> placed_;
  mutable Mutex mutex_;
  PageCounts pages_ WHERRY_GUARDED_BY(mutex_);
};

}  // namespace wherry
