// Full copies of the pages that come back most, as the destination has them, so that one that comes again can
// be sent as the bytes that changed (page_patch.h).
//
// There is room for a fixed number of pages. While there is room, any page gets a copy; then only one that
// comes back does, in the place of one that has not for a while: each return makes a copy worth more, up to a
// bound, and each newcomer that passes by makes it worth less. A place changes hands at most once in an
// epoch, and not in one in which its page was used: within an epoch the destination keeps no order
// (copy_mirror.h).
//
// Memory is taken as copies come. Thread-safe; a copy that was handed out is its user's alone until
// release(), and stays.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

namespace wherry {

class KeptCopies {
 public:
  // What a copy takes beside its page, about.
  static constexpr uint64_t kOverhead = 96;

  struct Copy {
    uint8_t* bytes = nullptr;  // null: there is none
    uint32_t place = 0;        // below the capacity

    explicit operator bool() const { return bytes; }
  };

  // Adds the memory that it takes to `used`.
  KeptCopies(uint64_t capacity, uint32_t page_size, std::atomic<uint64_t>& used)
      : capacity_(capacity), page_size_(page_size), used_(used) {}

  // The copy of a page that is sent in `epoch`, if it has one.
  Copy find(uint16_t block, uint64_t page, uint32_t epoch);
  // Room for a copy of a page that has none, to be filled before release(); none if it does not deserve any.
  // `comes_back`: it was sent before.
  Copy admit(uint16_t block, uint64_t page, uint32_t epoch, bool comes_back);
  void release(uint16_t block, uint64_t page);
  // The page is no longer what the copy says.
  void drop(uint16_t block, uint64_t page);

 private:
  static uint64_t key(uint16_t block, uint64_t page) { return uint64_t{block} << 48 | page; }

  struct Kept {
    uint64_t key = 0;
    std::optional<uint32_t> used_in;  // epoch
    uint8_t worth = 0;
    bool in_use = false;
    bool valid = false;
    std::unique_ptr<uint8_t[]> bytes;
  };

  const uint64_t capacity_;
  const uint32_t page_size_;
  std::atomic<uint64_t>& used_;
  std::mutex mutex_;
  std::vector<Kept> copies_;
  std::unordered_map<uint64_t, size_t> at_;
  size_t hand_ = 0;
};

}  // namespace wherry
