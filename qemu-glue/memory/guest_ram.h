// Guest RAM of another process (a QEMU on this host), reached in one of two ways per block.
//
// mapped: The block is a shared mapping of one file (memfd, tmpfs, hugetlbfs, …). The same file is mapped
// here too, and a write is a memcpy. Needs to read /proc/PID, as QEMU's user or as root.
//
// process: The block is private memory. A write is process_vm_writev. Needs the right to ptrace.
//
// Units: bytes; an offset counts from the start of its block; a block goes by the number that find() gave.
//
// Ownership: holds its own mappings, descriptors and a pidfd. The other process is checked to be alive before
// each operation, so a reused pid is never written to. Its memory layout is read once, at open: it must not
// unplug memory while this object is used.
//
// Threads: everything but open and destruction may be called by many threads at once. Writes that overlap in
// time and place leave either's bytes, as with any memory.
//
// Errors: a range outside of its block is refused, and with it the whole batch, before a byte is written. Any
// other Error may come after a part was written.
//
// Memory that was never touched stays so: zero() and read() of a mapped block and zero() of a private one
// allocate nothing. The exceptions, where only a look through QEMU's own mapping can tell what is there:
// memory of a file that cannot be opened here (an anonymous shared mapping or private huge pages, and no
// right to /proc/PID/map_files), and read() of a private mapping of a file.
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

  // Takes the plain blocks of `places`. A block that cannot be reached is left out and explained in
  // refused(); an Error when that leaves none. `page_size` is what the guest's processor is known to have.
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
  // Sentences, one for each plain block that is out of reach, and one for each that could not be mapped
  // though shared.
  const std::vector<std::string>& refused() const { return refused_; }
  // True once the process has ended; nothing else can be done then.
  bool ended() const;

  // Where [offset, offset+length) of a mapped block is in this process, to read and write in place; nullptr
  // for a block that is not mapped or a range outside of it. Call populate() before writing there.
  uint8_t* mapped_at(size_t block, uint64_t offset, uint64_t length) const;
  // Gives the range memory to write to. Without it a write through mapped_at() works as well, but where the
  // file system behind it is full, or out of huge pages, it ends in a SIGBUS and not in an Error.
  Result<> populate(size_t block, uint64_t offset, uint64_t length);

  Result<> write(size_t block, std::span<const Piece> pieces);
  // Makes the range zeros. Writes only to pages that hold something else, never gives memory back (a device
  // may have pinned it) and never allocates any. Cheap for long runs of untouched memory: prefer few long
  // ranges.
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
  Fd pagemap_;  // of the process; which pages exist
  std::vector<std::unique_ptr<Block>> blocks_;
  std::vector<std::string> refused_;
};

}  // namespace wherry
