#include "compression/copy_mirror.h"

#include <cstring>

#include "compression/page_patch.h"

namespace wherry {

Result<> CopyMirror::keep(uint32_t place, uint16_t block, uint64_t index, const uint8_t* page) {
  if (place >= capacity_) return fail("a page is to be copied to place {} of {}", place, capacity_);
  Lock lock(mutex_);
  if (place >= copies_.size()) copies_.resize(place + uint64_t{1});
  Copy& copy = copies_[place];
  if (!copy.bytes) {
    copy.bytes.reset(new uint8_t[page_size_]);
    used_ += page_size_;
  }
  copy.block = block;
  copy.index = index;
  std::memcpy(copy.bytes.get(), page, page_size_);
  return {};
}

bool CopyMirror::patch(uint32_t place, uint16_t block, uint64_t index, const uint8_t* patch, uint64_t sum,
                       uint8_t* page) {
  Lock lock(mutex_);
  const bool there = place < copies_.size() && copies_[place].bytes;
  if (!there || copies_[place].block != block || copies_[place].index != index) return false;
  uint8_t* copy = copies_[place].bytes.get();
  apply_patch(patch, copy);
  std::memcpy(page, copy, page_size_);
  return hash_page(page, page_size_, secret_) == sum;
}

uint64_t CopyMirror::bytes() const {
  Lock lock(mutex_);
  return used_ + copies_.capacity() * sizeof(Copy);
}

}  // namespace wherry
