#include "qemu-glue/memory/backing_file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>

#include "base/errno.h"

namespace wherry {

namespace {

constexpr uint64_t kChunk =
    256 << 10;  // bytes of one read of a file that cannot seek: fits into a core's cache

}  // namespace

uint64_t host_page_size() {
  static const auto size = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

bool all_zero(const uint8_t* bytes, size_t length) {
  size_t i = 0;
  for (; i + 64 <= length; i += 64) {
    std::array<uint64_t, 8> words;
    std::memcpy(words.data(), bytes + i, 64);
    if ((words[0] | words[1] | words[2] | words[3] | words[4] | words[5] | words[6] | words[7]) != 0)
      return false;
  }
  for (; i < length; ++i) {
    if (bytes[i] != 0) return false;
  }
  return true;
}

Result<BackingFile> BackingFile::open(pid_t pid, int process, const Vma& vma, uint64_t address,
                                      uint64_t length, int access) {
  BackingFile backing;
  backing.offset_ = vma.file_offset + (address - vma.start);
  constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<off_t>::max());
  if (backing.offset_ < vma.file_offset || backing.offset_ > kMost || length > kMost - backing.offset_) {
    return fail("its file offset is out of range");
  }
  auto file = open_file_of(pid, process, vma, backing.offset_ + length, access);
  if (!file) return pass_on(file);
  struct statfs system {};
  if (::fstatfs(file->get(), &system) != 0) return fail("cannot examine its file: {}", reason(errno));
  bool huge = system.f_type == HUGETLBFS_MAGIC;
  // Guest RAM lies in memory. A file on a disk that QEMU maps may be anything.
  if (access == O_RDWR && !huge && system.f_type != TMPFS_MAGIC)
    return fail("its file is not in memory (tmpfs, memfd or hugetlbfs)");
  backing.seekable_ = !huge;  // hugetlbfs reports everything as data
  backing.unit_ = huge ? std::max(static_cast<uint64_t>(system.f_bsize), host_page_size()) : host_page_size();
  backing.file_ = std::move(*file);
  return backing;
}

Result<std::pair<Mapping, uint8_t*>> BackingFile::map(uint64_t length) const {
  uint64_t lead = offset_ % unit_;
  size_t size = lead + length;
  // MAP_NORESERVE: without it, a hugetlbfs mapping would reserve pages of the pool that QEMU may need.
  void* start = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file_.get(),
                       static_cast<off_t>(offset_ - lead));
  if (start == MAP_FAILED) return fail("cannot map its file: {}", reason(errno));
  // munmap accepts only whole huge pages.
  Mapping mapping(start, (size + unit_ - 1) / unit_ * unit_);
  // QEMU advises MADV_HUGEPAGE for its own mapping, so memory that is touched here first should get huge
  // pages too. MADV_DONTDUMP: guest RAM must not be in a core dump of Wherry.
  (void)::madvise(start, size, MADV_HUGEPAGE);
  (void)::madvise(start, size, MADV_DONTDUMP);
  uint8_t* block = mapping.start() + lead;
  return std::pair(std::move(mapping), block);
}

Result<> BackingFile::for_nonzero_pages(uint64_t at, uint64_t end, const Visit& visit) const {
  if (at >= end) return {};
  uint64_t page = host_page_size();
  uint64_t capacity = std::min(end - at, kChunk);
  std::unique_ptr<uint8_t[]> buffer;
  while (at < end) {
    if (seekable_) {
      // Memory that is swapped out counts as data. SEEK_HOLE would tell where the data ends, but it walks all
      // data up to there, which may be the whole guest. On an error other than ENXIO, the file system cannot
      // tell holes from data, and everything is read.
      off_t data = ::lseek(file_.get(), static_cast<off_t>(offset_ + at), SEEK_DATA);
      if (data < 0 && errno == ENXIO) return {};  // no data up to the end of the file
      if (data >= 0) at = static_cast<uint64_t>(data) - offset_;
      if (at >= end) return {};
    }
    // read() of a hole returns zeros without allocating a page; a read through a mapping would allocate one.
    if (!buffer) buffer = std::make_unique_for_overwrite<uint8_t[]>(capacity);
    uint64_t size = std::min(capacity, end - at);
    auto looked = read(at, {buffer.get(), size});
    if (!looked) return looked;
    uint64_t stop = at + size;
    for (const uint8_t* bytes = buffer.get(); at < stop;) {
      uint64_t part = std::min(stop - at, page - at % page);
      if (!all_zero(bytes, part)) {
        auto done = visit(at, at + part);
        if (!done) return done;
      }
      bytes += part;
      at += part;
    }
  }
  return {};
}

Result<> BackingFile::read(uint64_t offset, std::span<uint8_t> into) const {
  while (!into.empty()) {
    ssize_t n = ::pread(file_.get(), into.data(), into.size(), static_cast<off_t>(offset_ + offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0)
      return fail("cannot read its file at offset {:#x}: {}", offset, n < 0 ? reason(errno) : "end of file");
    into = into.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return {};
}

}  // namespace wherry
