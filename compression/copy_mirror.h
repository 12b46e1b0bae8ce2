// The destination's copies of pages that it relays: what the source has in its kept copies (kept_copies.h),
// so that a page that comes again can be told by the bytes that changed.
//
// The source alone says which page is copied, and to which place; here it is only checked that what comes out
// is the page that it means. Memory is taken as places are used. Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/result.h"

namespace wherry {

class CopyMirror {
 public:
  // Places are 0 to capacity - 1.
  CopyMirror(uint64_t capacity, uint32_t page_size) : capacity_(capacity), page_size_(page_size) {}

  // From now on the place holds this page.
  Result<> keep(uint32_t place, uint16_t block, uint64_t index, const uint8_t* page);
  // Changes the page at a place by a sound patch (page_patch.h), and copies what it is then to `page`. False:
  // that is not the page of this XXH3-64.
  bool patch(uint32_t place, uint16_t block, uint64_t index, const uint8_t* patch, uint64_t sum,
             uint8_t* page);

  uint64_t capacity() const { return capacity_; }
  uint64_t bytes() const;

 private:
  struct Copy {
    uint16_t block = 0;
    uint64_t index = 0;
    std::unique_ptr<uint8_t[]> bytes;
  };

  const uint64_t capacity_;
  const uint32_t page_size_;
  mutable std::mutex mutex_;
  std::vector<Copy> copies_;
  uint64_t used_ = 0;
};

}  // namespace wherry
