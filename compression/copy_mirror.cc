#include "compression/copy_mirror.h"

#include <cstring>

#include "compression/kept_copies.h"
#include "compression/page_patch.h"

namespace wherry {

Result<> CopyMirror::keep(uint32_t place, uint16_t block, uint64_t index, const uint8_t* page) {
  if (place >= capacity_) return fail("a page is to be copied to place {} of {}", place, capacity_);
  Lock lock(mutex_);
  Copy& copy = copies_[place];
  if (!copy.bytes) copy.bytes.reset(new uint8_t[page_size_]);
  copy.block = block;
  copy.index = index;
  std::memcpy(copy.bytes.get(), page, page_size_);
  return {};
}

bool CopyMirror::patch(uint32_t place, uint16_t block, uint64_t index, std::span<const uint8_t> patch,
                       uint64_t sum, uint8_t* page) {
  Lock lock(mutex_);
  const auto found = copies_.find(place);
  if (found == copies_.end() || found->second.block != block || found->second.index != index) return false;
  uint8_t* copy = found->second.bytes.get();
  if (!apply_patch(patch, {copy, page_size_})) return false;
  std::memcpy(page, copy, page_size_);
  return hash_page(page, page_size_, secret_) == sum;
}

uint64_t CopyMirror::bytes() const {
  Lock lock(mutex_);
  return copies_.size() * (page_size_ + KeptCopies::kOverhead);
}

}  // namespace wherry
