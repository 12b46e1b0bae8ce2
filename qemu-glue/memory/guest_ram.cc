#include "qemu-glue/memory/guest_ram.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <limits>
#include <tuple>
#include <utility>

#include "base/errno.h"
#include "qemu-glue/memory/backing_file.h"
#include "qemu-glue/memory/process_maps.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14
#endif

namespace wherry {

namespace {

const uint64_t kPage = host_page_size();
constexpr uint64_t kForeignChunk = 256
                                   << 10;  // bytes of one read of foreign memory: fits into a core's cache
constexpr uint64_t kPagemapChunk = 16384;  // entries (8 bytes each) of one read: 64 MiB of guest RAM

// Whether [offset, offset+length) lies within `size` bytes.
bool within(uint64_t offset, uint64_t length, uint64_t size) {
  return offset <= size && length <= size - offset;
}

}  // namespace

struct GuestRam::Block {
  std::string name;
  uint64_t address = 0;
  uint64_t length = 0;
  Way way = Way::process;

  BackingFile backing;  // with Way::process only for private mappings of a file, to find the holes

  // Way::mapped only.
  Mapping mapping;
  uint8_t* start = nullptr;  // the block's first byte, in `mapping`
  // One bit for each page: set if the page is known to have memory, so that only the first write asks the
  // kernel.
  std::unique_ptr<std::atomic<uint64_t>[]> populated;

  // Way::process only. What a page without page table entry holds: zeros in a private anonymous mapping, the
  // file's bytes in a private mapping of a file, otherwise unknown until it is read.
  enum class Absent { unknown, zeros, as_file } absent = Absent::unknown;

  Result<> map(pid_t pid, int process, const Vma& first) {
    auto opened = BackingFile::open(pid, process, first, address, length, O_RDWR);
    if (!opened) return pass_on(opened);
    auto mapped = opened->map(length);
    if (!mapped) return pass_on(mapped);
    way = Way::mapped;
    backing = std::move(*opened);
    std::tie(mapping, start) = std::move(*mapped);
    populated = std::make_unique<std::atomic<uint64_t>[]>((length / kPage + 1 + 63) / 64);
    return {};
  }

  // Without a mapping of its own. `over`: what covers the block in the process.
  Result<> reach(pid_t pid, int process, const std::vector<Vma>& over) {
    if (std::all_of(over.begin(), over.end(), [](const Vma& vma) { return !vma.shared && vma.inode == 0; })) {
      absent = Absent::zeros;
    } else if (one_file(over, /*shared=*/false)) {
      if (auto opened = BackingFile::open(pid, process, over.front(), address, length, O_RDONLY)) {
        backing = std::move(*opened);
        absent = Absent::as_file;
      }
    }
    // Reading one byte tells whether access is permitted; permission to read is permission to write.
    uint8_t probe = 0;
    iovec local{&probe, 1};
    iovec remote{reinterpret_cast<void*>(address), 1};
    if (::process_vm_readv(pid, &local, 1, &remote, 1, 0) == 1) return {};
    std::string why = reason(errno);
    if (errno == EPERM) why += fmt::format("; {}", kMemoryAccessRemedy);
    return fail("cannot reach the memory of process {}: {}", pid, why);
  }
};

namespace {

// The smallest range that contains all pages of [first, last) whose bit is clear; empty if there is none.
std::pair<uint64_t, uint64_t> clear_range(const std::atomic<uint64_t>* bits, uint64_t first, uint64_t last) {
  auto is_set = [&](uint64_t page) {
    return (bits[page / 64].load(std::memory_order_relaxed) >> page % 64 & 1) != 0;
  };
  while (first < last && is_set(first)) ++first;
  while (first < last && is_set(last - 1)) --last;
  return {first, last};
}

void set_range(std::atomic<uint64_t>* bits, uint64_t first, uint64_t last) {
  while (first < last) {
    uint64_t count = std::min(last - first, 64 - first % 64);
    uint64_t mask = count == 64 ? ~uint64_t{0} : ((uint64_t{1} << count) - 1) << first % 64;
    bits[first / 64].fetch_or(mask, std::memory_order_relaxed);
    first += count;
  }
}

enum class Direction { read, write };

// Moves bytes between the buffers `local` and the ranges `remote`, which have the same total length.
Result<> transfer(pid_t pid, Direction direction, std::span<iovec> local, std::span<iovec> remote,
                  uint64_t base, const std::string& name) {
  auto drop = [](std::span<iovec>& pieces, size_t count) {
    while (count > 0 && !pieces.empty()) {
      size_t part = std::min(count, pieces.front().iov_len);
      pieces.front().iov_base = static_cast<uint8_t*>(pieces.front().iov_base) + part;
      pieces.front().iov_len -= part;
      count -= part;
      if (pieces.front().iov_len == 0) pieces = pieces.subspan(1);
    }
  };
  while (!remote.empty()) {
    size_t local_count = std::min<size_t>(local.size(), IOV_MAX);
    size_t remote_count = std::min<size_t>(remote.size(), IOV_MAX);
    auto call = direction == Direction::write ? ::process_vm_writev : ::process_vm_readv;
    ssize_t n = call(pid, local.data(), local_count, remote.data(), remote_count, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      uint64_t offset = reinterpret_cast<uintptr_t>(remote.front().iov_base) - base;
      std::string why = n == 0 ? "no bytes were transferred" : reason(errno);
      if (n < 0 && errno == EPERM) why += fmt::format("; {}", kMemoryAccessRemedy);
      return fail("cannot {} block '{}' at offset {:#x} in process {}: {}",
                  direction == Direction::write ? "write" : "read", name, offset, pid, why);
    }
    drop(local, static_cast<size_t>(n));
    drop(remote, static_cast<size_t>(n));
  }
  return {};
}

iovec remote_range(uint64_t address, uint64_t length) {
  return {reinterpret_cast<void*>(address), length};
}

// Never written; not const because iovec has no const pointer.
std::array<uint8_t, kForeignChunk> zeros;

}  // namespace

GuestRam::GuestRam() = default;
GuestRam::GuestRam(GuestRam&&) noexcept = default;
GuestRam& GuestRam::operator=(GuestRam&&) noexcept = default;
GuestRam::~GuestRam() = default;

Result<GuestRam> GuestRam::open(pid_t pid, std::vector<RamBlockPlace> places,
                                std::optional<uint32_t> page_size) {
  GuestRam ram;
  ram.pid_ = pid;
  ram.page_size_ = page_size;
  if (pid <= 0) return fail("{} is not a process id", pid);
  // Opened before /proc is read: if another process takes the pid later, ended() is true.
  ram.process_ = Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!ram.process_) {
    if (errno == ESRCH) return fail("there is no process {}", pid);
    return fail("cannot watch process {}: {}", pid, reason(errno));
  }
  auto vmas = read_vmas(pid);
  if (!vmas) return pass_on(vmas);
  ram.pagemap_ = Fd(::open(fmt::format("/proc/{}/pagemap", pid).c_str(), O_RDONLY | O_CLOEXEC));

  for (RamBlockPlace& place : places) {
    if (!place.plain_ram || place.length == 0) continue;
    auto refuse = [&](const std::string& why) {
      ram.refused_.push_back(fmt::format("block '{}': {}", place.name, why));
    };
    if (ram.find(place.name)) {
      refuse("another block has the same name");
      continue;
    }
    if (place.length > std::numeric_limits<uint64_t>::max() - place.host_address ||
        place.host_address % kPage != 0) {
      refuse(fmt::format("{:#x} bytes at {:#x} are not a valid range", place.length, place.host_address));
      continue;
    }
    std::vector<Vma> over = covering(*vmas, place.host_address, place.length);
    if (over.empty()) {
      refuse(fmt::format("process {} has not mapped all of {:#x}+{:#x}: is it the QEMU of that monitor?", pid,
                         place.host_address, place.length));
      continue;
    }
    auto block = std::make_unique<Block>();
    block->name = place.name;
    block->address = place.host_address;
    block->length = place.length;
    const bool writable = std::all_of(over.begin(), over.end(), [](const Vma& vma) { return vma.writable; });
    if (!writable) {
      refuse("not all of it is writable in QEMU");
      continue;
    }
    if (one_file(over, /*shared=*/true)) {
      auto mapped = block->map(pid, ram.process_.get(), over.front());
      if (mapped) {
        ram.blocks_.push_back(std::move(block));
        continue;
      }
      refuse(fmt::format("is shared memory that cannot be mapped: {}", mapped.error().message));
    }
    if (auto reached = block->reach(pid, ram.process_.get(), over); !reached) {
      refuse(reached.error().message);
      continue;
    }
    ram.blocks_.push_back(std::move(block));
  }
  if (ram.ended()) return fail("process {} has ended", pid);
  if (ram.blocks_.empty()) {
    if (ram.refused_.empty())
      return fail("process {} has no block of plain guest RAM at a known address", pid);
    return fail("no guest RAM of process {} can be reached: {}", pid, ram.refused_.back());
  }
  return ram;
}

bool GuestRam::ended() const {
  pollfd entry{process_.get(), POLLIN, 0};
  // A failing poll counts as ended, so that Wherry never writes to a process that may be another one.
  return ::poll(&entry, 1, 0) != 0;
}

std::optional<size_t> GuestRam::find(std::string_view name) const {
  for (size_t i = 0; i < blocks_.size(); ++i) {
    if (blocks_[i]->name == name) return i;
  }
  return std::nullopt;
}

const std::string& GuestRam::name(size_t block) const {
  static const std::string none;
  return block < blocks_.size() ? blocks_[block]->name : none;
}

GuestRam::Way GuestRam::way(size_t block) const {
  return block < blocks_.size() ? blocks_[block]->way : Way::process;
}

uint64_t GuestRam::length(size_t block) const {
  return block < blocks_.size() ? blocks_[block]->length : 0;
}

uint8_t* GuestRam::mapped_at(size_t block, uint64_t offset, uint64_t length) const {
  if (block >= blocks_.size() || blocks_[block]->way != Way::mapped) return nullptr;
  if (!within(offset, length, blocks_[block]->length)) return nullptr;
  return blocks_[block]->start + offset;
}

Result<> GuestRam::check(size_t block, uint64_t offset, uint64_t length, const char* what) const {
  if (block >= blocks_.size()) return fail("cannot {} guest RAM: there is no block number {}", what, block);
  const Block& in = *blocks_[block];
  if (!within(offset, length, in.length)) {
    return fail("cannot {} {:#x} bytes at offset {:#x} of block '{}': it has {:#x}", what, length, offset,
                in.name, in.length);
  }
  if (ended()) {
    return fail("cannot {} block '{}' at offset {:#x}: process {} has ended", what, in.name, offset, pid_);
  }
  return {};
}

Result<> GuestRam::populate(size_t block, uint64_t offset, uint64_t length) {
  auto checked = check(block, offset, length, "populate");
  if (!checked) return checked;
  if (blocks_[block]->way != Way::mapped) return {};
  return populate(*blocks_[block], offset, length);
}

Result<> GuestRam::populate(Block& block, uint64_t offset, uint64_t length) {
  if (length == 0) return {};
  auto [first, last] = clear_range(block.populated.get(), offset / kPage, (offset + length - 1) / kPage + 1);
  if (first == last) return {};
  // One call for the run costs less than a fault for each page, and returns an error instead of raising
  // SIGBUS.
  while (::madvise(block.start + first * kPage, (last - first) * kPage, MADV_POPULATE_WRITE) != 0) {
    if (errno == EINTR) continue;
    if (errno == EINVAL) break;  // before Linux 5.14: the write itself populates
    // EFAULT: the write would have raised SIGBUS.
    std::string why = errno == EFAULT ? "its file system is full or out of huge pages" : reason(errno);
    return fail("cannot allocate memory of block '{}' at offset {:#x}: {}", block.name, first * kPage, why);
  }
  set_range(block.populated.get(), first, last);
  return {};
}

Result<> GuestRam::write(size_t block, std::span<const Piece> pieces) {
  if (pieces.empty()) return check(block, 0, 0, "write");
  for (const Piece& piece : pieces) {
    if (block >= blocks_.size() || !within(piece.offset, piece.bytes.size(), blocks_[block]->length)) {
      return check(block, piece.offset, piece.bytes.size(), "write");
    }
  }
  auto checked = check(block, pieces.front().offset, pieces.front().bytes.size(), "write");
  if (!checked) return checked;
  return blocks_[block]->way == Way::mapped ? write_mapped(*blocks_[block], pieces)
                                            : write_process(*blocks_[block], pieces);
}

Result<> GuestRam::write_mapped(Block& block, std::span<const Piece> pieces) {
  for (size_t i = 0; i < pieces.size();) {
    uint64_t end = pieces[i].offset;
    size_t next = i;
    for (; next < pieces.size() && pieces[next].offset == end; ++next) end += pieces[next].bytes.size();
    auto populated = populate(block, pieces[i].offset, end - pieces[i].offset);
    if (!populated) return populated;
    for (; i < next; ++i) {
      const Piece& piece = pieces[i];
      if (!piece.bytes.empty())
        std::memcpy(block.start + piece.offset, piece.bytes.data(), piece.bytes.size());
    }
  }
  return {};
}

Result<> GuestRam::write_process(const Block& block, std::span<const Piece> pieces) const {
  // As many pieces in one call as the kernel accepts; contiguous pieces share one iovec.
  constexpr size_t kMost = IOV_MAX;
  std::vector<iovec> local, remote;
  local.reserve(std::min(pieces.size(), kMost));
  remote.reserve(std::min(pieces.size(), kMost));
  auto append = [](std::vector<iovec>& list, void* start, size_t length) {
    if (!list.empty() && static_cast<uint8_t*>(list.back().iov_base) + list.back().iov_len == start) {
      list.back().iov_len += length;
    } else {
      list.push_back({start, length});
    }
  };
  for (size_t i = 0; i < pieces.size(); ++i) {
    const Piece& piece = pieces[i];
    if (!piece.bytes.empty()) {
      append(local, const_cast<uint8_t*>(piece.bytes.data()), piece.bytes.size());
      append(remote, reinterpret_cast<void*>(block.address + piece.offset), piece.bytes.size());
    }
    if (local.empty() || (i + 1 < pieces.size() && std::max(local.size(), remote.size()) < kMost)) continue;
    if (ended()) return fail("cannot write block '{}': process {} has ended", block.name, pid_);
    auto done = transfer(pid_, Direction::write, local, remote, block.address, block.name);
    if (!done) return done;
    local.clear();
    remote.clear();
  }
  return {};
}

Result<> GuestRam::read(size_t block, uint64_t offset, std::span<uint8_t> into) const {
  auto checked = check(block, offset, into.size(), "read");
  if (!checked) return checked;
  const Block& from = *blocks_[block];
  if (into.empty()) return {};
  if (from.way == Way::process) {
    iovec local{into.data(), into.size()};
    iovec remote = remote_range(from.address + offset, into.size());
    return transfer(pid_, Direction::read, {&local, 1}, {&remote, 1}, from.address, from.name);
  }
  // Reads the file, because reading a hole through the mapping would fill it.
  auto done = from.backing.read(offset, into);
  if (!done) return fail("cannot read block '{}': {}", from.name, done.error().message);
  return {};
}

Result<> GuestRam::zero(size_t block, uint64_t offset, uint64_t length) {
  auto checked = check(block, offset, length, "zero");
  if (!checked) return checked;
  const Block& in = *blocks_[block];
  if (length == 0) return {};
  if (in.way == Way::process) return zero_process(in, offset, length);
  auto done =
      in.backing.for_nonzero_pages(offset, offset + length, [&](uint64_t from, uint64_t to) -> Result<> {
        std::memset(in.start + from, 0, to - from);
        return {};
      });
  if (!done) return fail("cannot zero block '{}': {}", in.name, done.error().message);
  return {};
}

Result<> GuestRam::zero_process(const Block& block, uint64_t offset, uint64_t length) const {
  if (block.absent == Block::Absent::unknown || !pagemap_) return zero_pages(block, offset, length);
  auto look = [&](uint64_t from, uint64_t to) { return zero_pages(block, from, to - from); };
  // The bits "present" and "swapped" of an entry. If both are clear, the page was never touched.
  constexpr uint64_t kExists = uint64_t{3} << 62;
  uint64_t end = offset + length;
  uint64_t first = offset / kPage;
  uint64_t last = (end - 1) / kPage + 1;
  uint64_t capacity = std::min(last - first, kPagemapChunk);
  auto entries = std::make_unique_for_overwrite<uint64_t[]>(capacity);
  while (first < last) {
    ssize_t n = ::pread(pagemap_.get(), entries.get(), std::min(capacity, last - first) * sizeof entries[0],
                        static_cast<off_t>((block.address / kPage + first) * sizeof entries[0]));
    if (n < 0 && errno == EINTR) continue;
    size_t got = n > 0 ? static_cast<size_t>(n) / sizeof entries[0] : 0;
    if (got == 0) return look(std::max(offset, first * kPage), end);
    for (size_t i = 0; i < got;) {
      bool exists = (entries[i] & kExists) != 0;
      size_t run = i + 1;
      while (run < got && ((entries[run] & kExists) != 0) == exists) ++run;
      uint64_t from = std::max(offset, (first + i) * kPage);
      uint64_t to = std::min(end, (first + run) * kPage);
      i = run;
      Result<> done;
      if (exists) {
        done = look(from, to);
      } else if (block.absent == Block::Absent::as_file) {
        done = block.backing.for_nonzero_pages(from, to, look);
      }
      if (!done) return done;
    }
    first += got;
  }
  return {};
}

// Reads every page of the range and zeroes those that are not zeros.
Result<> GuestRam::zero_pages(const Block& block, uint64_t offset, uint64_t length) const {
  uint64_t capacity = std::min(length, kForeignChunk);
  auto buffer = std::make_unique_for_overwrite<uint8_t[]>(capacity);
  std::vector<iovec> dirty;
  uint64_t end = offset + length;
  while (offset < end) {
    uint64_t size = std::min(capacity, end - offset);
    iovec local{buffer.get(), size};
    iovec remote = remote_range(block.address + offset, size);
    auto seen = transfer(pid_, Direction::read, {&local, 1}, {&remote, 1}, block.address, block.name);
    if (!seen) return seen;
    dirty.clear();
    size_t total = 0;
    for (uint64_t at = 0; at < size;) {
      uint64_t part = std::min(size - at, kPage - (offset + at) % kPage);
      if (!all_zero(buffer.get() + at, part)) {
        uint64_t address = block.address + offset + at;
        if (!dirty.empty() &&
            reinterpret_cast<uint64_t>(dirty.back().iov_base) + dirty.back().iov_len == address) {
          dirty.back().iov_len += part;
        } else {
          dirty.push_back(remote_range(address, part));
        }
        total += part;
      }
      at += part;
    }
    if (total > 0) {
      if (ended()) return fail("cannot zero block '{}': process {} has ended", block.name, pid_);
      iovec source{zeros.data(), total};
      auto done = transfer(pid_, Direction::write, {&source, 1}, dirty, block.address, block.name);
      if (!done) return done;
    }
    offset += size;
  }
  return {};
}

}  // namespace wherry
