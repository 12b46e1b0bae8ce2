// The pool of fixed buffers that hold page data from the socket to the acknowledgement.
//
// Thread-safe. Memory is reserved once, so that it can be registered with an RDMA device, but touched only as
// needed: the slot that was freed last is handed out first.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/mutex.h"

namespace wherry {

// Bytes of a slot: room for the pages of a batch and what QEMU's stream has around them.
inline constexpr size_t kSlotBytes = 576 * 1024;

// Shared ownership of one slot; the last reference returns it to the pool. The pool must outlive it.
using Slot = std::shared_ptr<uint8_t>;

class SlotPool {
 public:
  explicit SlotPool(size_t slots);
  ~SlotPool();
  SlotPool(const SlotPool&) = delete;
  SlotPool& operator=(const SlotPool&) = delete;

  // Waits for a free slot. Null after close().
  Slot take();
  // A free slot, or null if there is none now.
  Slot try_take();
  // Ends take() in all threads.
  void close();
  // All memory of the pool.
  std::span<uint8_t> memory() const { return {base_, slots_ * kSlotBytes}; }

 private:
  Slot lend(uint8_t* slot);

  const size_t slots_;
  uint8_t* base_ = nullptr;
  Mutex mutex_;
  Condition freed_;
  std::vector<uint8_t*> free_ WHERRY_GUARDED_BY(mutex_);
  bool closed_ WHERRY_GUARDED_BY(mutex_) = false;
};

}  // namespace wherry
