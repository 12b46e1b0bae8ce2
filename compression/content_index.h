// Which guest pages have which content, so that a page can be sent as a reference to an equal one.
//
// A table in which pages displace each other. What it says about a page was true when the page was added. The
// caller tells by the page's version (page_history.h) whether it still is.
//
// Thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>

#include "base/lazy_memory.h"
#include "base/mutex.h"

namespace wherry {

// A page and its content. 40 bits number more pages than a machine can address.
struct KnownPage {
  uint64_t content = 0;  // low half of its hash (keyed_hash.h)
  uint64_t page : 40 = 0;
  uint64_t block : 16 = 0;
  uint64_t version : 8 = 0;

  bool operator==(const KnownPage&) const = default;
};

static_assert(sizeof(KnownPage) == 16);

class ContentIndex {
 public:
  // Uses at most `bytes` of memory, which the system provides only as it is written.
  explicit ContentIndex(uint64_t bytes);

  void add(const KnownPage& page);
  // The page of this content that was added last, unless it was displaced.
  std::optional<KnownPage> find(uint64_t content) const;

  uint64_t bytes() const { return count_ * sizeof(Bucket); }
  // Forgets all pages for good, and frees the memory.
  void give_up();

 private:
  // Newest first. A page is dropped when four newer ones have come to its bucket.
  using Bucket = std::array<KnownPage, 4>;
  Bucket& bucket(uint64_t at) const { return reinterpret_cast<Bucket*>(memory_.data())[at]; }
  Mutex& lock_of(uint64_t bucket) const { return locks_[bucket % locks_.size()]; }

  const LazyMemory memory_;      // of buckets; each is used with its lock_of() held
  std::atomic<uint64_t> count_;  // of buckets; 0 from give_up() on
  mutable std::array<Mutex, 64> locks_;
};

}  // namespace wherry
