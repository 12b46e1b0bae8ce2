// Full copies of the pages that come back most, as the destination has them. A page with a copy can be sent
// as the bytes that changed (page_patch.h).
//
// The number of places only ever shrinks. While places are free, every page gets a copy. After that, only a
// page that comes back gets one. It takes the place of a page that has not come back for a while: each time a
// page comes back, its copy is worth more, up to a bound, and each newcomer that looks at the copy makes it
// worth less. A place is reassigned at most once in an epoch, and not in an epoch in which its page was used,
// because within an epoch the destination keeps no order (copy_mirror.h).
//
// Memory comes as copies are made. Thread-safe. From find() or admit() to release(), a copy belongs to the
// caller alone and keeps its place.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/lazy_memory.h"
#include "base/mutex.h"

namespace wherry {

class KeptCopies {
 public:
  // About how many bytes a copy needs in addition to its page.
  static constexpr uint64_t kOverhead = 96;

  struct Copy {
    uint8_t* bytes = nullptr;  // null: there is none
    uint32_t place = 0;        // below the capacity

    explicit operator bool() const { return bytes; }
  };

  // Adds the bytes that it takes to `used`.
  KeptCopies(uint64_t capacity, uint32_t page_size, std::atomic<uint64_t>& used);

  // The copy of a page that is sent in `epoch`, if it has one.
  Copy find(uint16_t block, uint64_t page, uint32_t epoch);
  // Room for a copy of a page that has none, to be filled before release(). Empty if the page gets none.
  // `comes_back`: the page was sent before.
  Copy admit(uint16_t block, uint64_t page, uint32_t epoch, bool comes_back);
  void release(uint16_t block, uint64_t page);
  // Forgets the page's copy, if it has one: the page is now different.
  void drop(uint16_t block, uint64_t page);

  // The bytes that it has taken.
  uint64_t bytes() const;
  // From now on there are at most so many places. The copies at places above that are forgotten and their
  // memory is freed, but for those that belong to a caller just now. No such place is given to another page:
  // the destination may go on keeping what it has there.
  void shrink(uint64_t capacity);

 private:
  static uint64_t key(uint16_t block, uint64_t page) { return uint64_t{block} << 48 | page; }

  struct Kept {
    uint64_t key = 0;
    std::optional<uint32_t> used_in;  // epoch
    uint8_t worth = 0;
    bool in_use = false;
    bool valid = false;
  };
  uint64_t each() const { return page_size_ + kOverhead; }
  uint8_t* bytes_of(size_t place) const { return memory_.data() + place * page_size_; }

  const uint32_t page_size_;
  const LazyMemory memory_;  // by place
  std::atomic<uint64_t>& used_;
  mutable Mutex mutex_;
  uint64_t capacity_ WHERRY_GUARDED_BY(mutex_);
  uint64_t taken_ WHERRY_GUARDED_BY(mutex_) = 0;  // copies that have memory
  std::vector<Kept> copies_ WHERRY_GUARDED_BY(mutex_);
  std::unordered_map<uint64_t, size_t> at_ WHERRY_GUARDED_BY(mutex_);
  size_t hand_ WHERRY_GUARDED_BY(mutex_) = 0;
};

}  // namespace wherry
