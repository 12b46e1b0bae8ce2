// Memory that the system provides page by page, as it is written, and takes back in parts. It is zero before
// it is written, and after it was given back. Move-only.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace wherry {

class LazyMemory {
 public:
  LazyMemory() = default;
  // If the system refuses that much, there is none.
  explicit LazyMemory(size_t size) {
    void* memory =
        ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return;
    data_ = static_cast<uint8_t*>(memory);
    size_ = size;
  }
  LazyMemory(LazyMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  LazyMemory& operator=(LazyMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~LazyMemory() {
    if (data_) ::munmap(data_, size_);
  }

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }  // 0: there is none

  // Gives the whole pages of the system in that part back. Other threads may use them all the while: they
  // find zeros there, or what they write.
  void give_back(size_t offset, size_t bytes) const {
    const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    const size_t first = (offset + page - 1) / page * page;
    const size_t end = (offset + bytes) / page * page;
    if (first < end) ::madvise(data_ + first, end - first, MADV_DONTNEED);
  }

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace wherry
