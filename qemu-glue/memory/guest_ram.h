// Guest RAM of another process (a QEMU on this host), reached in one of two ways per block.
//
// mapped: The block is a shared mapping of one file in memory (memfd, tmpfs, hugetlbfs). The same file is
// mapped in this process, through QEMU's own descriptor of it, and a write is a memcpy. Needs to read
// /proc/PID, as QEMU's user or as root.
//
// process: The block is any other memory. A write is process_vm_writev. Needs permission to ptrace.
//
// Only memory that QEMU itself may write is reached, whatever its monitor says.
//
// Units: bytes; an offset is from the start of its block; a block is identified by the number that find()
// returns.
//
// Ownership: holds its own mappings, descriptors and a pidfd. Each operation first checks that the other
// process is alive, so it never writes to a process that reuses the pid. The memory layout is read once, at
// open: the other process must not unplug memory while this object is in use.
//
// Threads: everything except open and destruction is thread-safe. Concurrent writes to the same bytes leave
// the bytes of either, as with any memory.
//
// Errors: if a range lies outside its block, nothing of the whole batch is written. With any other Error, a
// part may have been written.
//
// Memory that was never touched stays untouched: zero() and read() of a mapped block and zero() of a private
// one allocate nothing. The exceptions are memory whose content is visible only through QEMU's own mapping:
// memory of a file that cannot be opened here (an anonymous shared mapping or private huge pages, without
// access to /proc/PID/map_files), and read() of a private mapping of a file.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "qemu-glue/memory/ram_blocks.h"

namespace wherry {

class GuestRam {
 public:
  enum class Way { mapped, process };
  struct Piece {
    uint64_t offset = 0;
    std::span<const uint8_t> bytes;
  };

  // Opens the plain blocks of `places`. A block that cannot be reached is left out and explained in
  // refused(); an Error if no block is left. `page_size` is the page size in bytes of the guest's processor,
  // if known.
  static Result<GuestRam> open(pid_t pid, std::vector<RamBlockPlace> places,
                               std::optional<uint32_t> page_size = 4096);

  GuestRam(GuestRam&&) noexcept;
  GuestRam& operator=(GuestRam&&) noexcept;
  ~GuestRam();

  pid_t process() const { return pid_; }
  std::optional<uint32_t> page_size() const { return page_size_; }
  std::optional<size_t> find(std::string_view name) const;
  size_t block_count() const { return blocks_.size(); }
  const std::string& name(size_t block) const;
  Way way(size_t block) const;
  uint64_t length(size_t block) const;
  // One sentence for each plain block that cannot be reached, and for each shared block that could not be
  // mapped.
  const std::vector<std::string>& refused() const { return refused_; }
  // True once the process has ended. All other operations fail then.
  bool ended() const;

  // Address in this process of [offset, offset+length) of a mapped block, to read and write in place; nullptr
  // if the block is not mapped or the range lies outside it. Call populate() before writing there.
  uint8_t* mapped_at(size_t block, uint64_t offset, uint64_t length) const;
  // Allocates memory for the range. Without it a write through mapped_at() works as well, but raises SIGBUS,
  // not an Error, if the file system is full or out of huge pages.
  Result<> populate(size_t block, uint64_t offset, uint64_t length);

  Result<> write(size_t block, std::span<const Piece> pieces);
  // Makes the range zeros. Writes only to pages that are not all zeros, never frees memory (a device may have
  // pinned it) and never allocates any. Cheap for long runs of untouched memory: prefer few long ranges.
  Result<> zero(size_t block, uint64_t offset, uint64_t length);
  Result<> read(size_t block, uint64_t offset, std::span<uint8_t> into) const;

 private:
  struct Block;

  GuestRam();
  Result<> check(size_t block, uint64_t offset, uint64_t length, const char* what) const;
  Result<> write_mapped(Block& block, std::span<const Piece> pieces);
  Result<> write_process(const Block& block, std::span<const Piece> pieces) const;
  Result<> populate(Block& block, uint64_t offset, uint64_t length);
  Result<> zero_process(const Block& block, uint64_t offset, uint64_t length) const;
  Result<> zero_pages(const Block& block, uint64_t offset, uint64_t length) const;

  pid_t pid_ = -1;
  std::optional<uint32_t> page_size_;
  Fd process_;  // a pidfd
  Fd pagemap_;  // /proc/PID/pagemap, which tells which pages exist
  std::vector<std::unique_ptr<Block>> blocks_;
  std::vector<std::string> refused_;
};

}  // namespace wherry
