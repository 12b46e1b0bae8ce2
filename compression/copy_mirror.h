// The destination's copies of pages that it relays. They mirror the source's kept copies (kept_copies.h), so
// that a page that is sent again can be sent as the bytes that changed.
//
// The source alone decides which page is copied to which place. The destination only checks that the result
// is the page that the source meant. Memory is allocated for places that are used, whatever their numbers.
// Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>

#include "base/mutex.h"
#include "base/result.h"
#include "compression/keyed_hash.h"

namespace wherry {

class CopyMirror {
 public:
  // Places are 0 to capacity - 1. `secret` is the source's.
  CopyMirror(uint64_t capacity, uint32_t page_size, const PageSecret& secret)
      : capacity_(capacity), page_size_(page_size), secret_(secret) {}

  // From now on the place holds this page. Fails if there is no such place.
  Result<> keep(uint32_t place, uint16_t block, uint64_t index, const uint8_t* page);
  // Applies the patch at the start of `patch` to the page at a place, and copies the result to `page`. False:
  // the place holds another page, the patch is not valid, or the result does not hash to `sum`.
  bool patch(uint32_t place, uint16_t block, uint64_t index, std::span<const uint8_t> patch, uint64_t sum,
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
  const PageSecret secret_;
  mutable Mutex mutex_;
  std::unordered_map<uint32_t, Copy> copies_ WHERRY_GUARDED_BY(mutex_);  // by place
};

}  // namespace wherry
