#include "compression/copy_mirror.h"

#include <cstring>

#include "compression/page_patch.h"

namespace wherry {

void put_place(uint32_t place, uint8_t* out) {
  for (size_t i = 0; i < kPlaceBytes; ++i) out[i] = static_cast<uint8_t>(place >> (8 * i));
}

uint32_t get_place(const uint8_t* in) {
  uint32_t place = 0;
  for (size_t i = 0; i < kPlaceBytes; ++i) place |= uint32_t{in[i]} << (8 * i);
  return place;
}

Result<> CopyMirror::keep(uint32_t place, uint16_t block, uint64_t index, const uint8_t* page) {
  if (place >= capacity_) return fail("a page is to be copied to place {} of {}", place, capacity_);
  std::lock_guard lock(mutex_);
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

Result<> CopyMirror::patch(uint32_t place, uint16_t block, uint64_t index, const uint8_t* patch,
                           uint8_t* page) {
  std::lock_guard lock(mutex_);
  const bool there = place < copies_.size() && copies_[place].bytes;
  if (!there || copies_[place].block != block || copies_[place].index != index) {
    return fail("page {} of block {} refers to a copy at place {}, which is not of that page", index, block,
                place);
  }
  uint8_t* copy = copies_[place].bytes.get();
  apply_patch(patch, copy);
  std::memcpy(page, copy, page_size_);
  return {};
}

uint64_t CopyMirror::bytes() const {
  std::lock_guard lock(mutex_);
  return used_ + copies_.capacity() * sizeof(Copy);
}

}  // namespace wherry
