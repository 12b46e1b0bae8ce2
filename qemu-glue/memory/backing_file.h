// The file behind a block of guest RAM: memfd, tmpfs, hugetlbfs; to find holes, any other. Tells holes from
// data without filling them, and maps the file. Offsets are in bytes from the start of the block.
// Thread-safe.
#pragma once

#include <sys/mman.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "base/fd.h"
#include "base/result.h"
#include "qemu-glue/memory/process_maps.h"

namespace wherry {

// Owns a mapping in this process; unmaps it in the destructor.
class Mapping {
 public:
  Mapping() = default;
  Mapping(void* start, size_t length) : start_(start), length_(length) {}
  Mapping(Mapping&& other) noexcept
      : start_(std::exchange(other.start_, nullptr)), length_(std::exchange(other.length_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(start_, other.start_);
    std::swap(length_, other.length_);
    return *this;
  }
  ~Mapping() {
    if (start_ != nullptr) ::munmap(start_, length_);
  }
  uint8_t* start() const { return static_cast<uint8_t*>(start_); }

 private:
  void* start_ = nullptr;
  size_t length_ = 0;
};

class BackingFile {
 public:
  // A range: [from, to).
  using Visit = std::function<Result<>(uint64_t from, uint64_t to)>;

  BackingFile() = default;
  // `vma` is the mapping of process `pid`, with the pidfd `process`, in which the block of `length` bytes
  // starts, at `address`. `access` is O_RDONLY, or O_RDWR, which only a file in memory is opened for.
  static Result<BackingFile> open(pid_t pid, int process, const Vma& vma, uint64_t address, uint64_t length,
                                  int access);

  // Maps the block, shared and writable; needs O_RDWR. The pointer is the start of the block in the mapping.
  Result<std::pair<Mapping, uint8_t*>> map(uint64_t length) const;

  // Calls `visit`, in order, for every part of [at, end), at most a page each, that is not all zeros. Fills
  // no hole, and skips large holes at once.
  Result<> for_nonzero_pages(uint64_t at, uint64_t end, const Visit& visit) const;

  // A hole reads as zeros and stays a hole.
  Result<> read(uint64_t offset, std::span<uint8_t> into) const;

 private:
  Fd file_;
  uint64_t offset_ = 0;    // offset in the file of the block's start, in bytes
  bool seekable_ = false;  // lseek tells holes from data
  uint64_t unit_ = 0;      // mappings of this file system have a length that is a multiple of this, in bytes
};

// In bytes. Guest RAM is examined and placed in pages of the host.
uint64_t host_page_size();

bool all_zero(const uint8_t* bytes, size_t length);

}  // namespace wherry
