#include "transport/lane/slots.h"

#include <sys/mman.h>

#include <new>

namespace wherry {

SlotPool::SlotPool(size_t slots) : slots_(slots) {
  void* memory = mmap(nullptr, slots * kSlotBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  base_ = static_cast<uint8_t*>(memory);
  for (size_t i = slots; i-- > 0;) free_.push_back(base_ + i * kSlotBytes);
}

SlotPool::~SlotPool() {
  munmap(base_, slots_ * kSlotBytes);
}

Slot SlotPool::take() {
  Lock lock(mutex_);
  while (!closed_ && free_.empty()) freed_.wait(mutex_);
  if (closed_) return nullptr;
  uint8_t* slot = free_.back();
  free_.pop_back();
  return lend(slot);
}

Slot SlotPool::try_take() {
  Lock lock(mutex_);
  if (free_.empty()) return nullptr;
  uint8_t* slot = free_.back();
  free_.pop_back();
  return lend(slot);
}

Slot SlotPool::lend(uint8_t* slot) {
  return Slot(slot, [this](uint8_t* back) {
    Lock lock(mutex_);
    free_.push_back(back);
    freed_.notify_one();
  });
}

void SlotPool::close() {
  Lock lock(mutex_);
  closed_ = true;
  freed_.notify_all();
}

}  // namespace wherry
