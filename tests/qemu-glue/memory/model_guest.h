// A process that holds memory of a given kind, as the guest of tests of GuestRam.
#pragma once

#include <fcntl.h>
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <limits>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "qemu-glue/memory/guest_ram.h"
#include "tests/qemu-glue/memory/support.h"

namespace wherry::test {

inline constexpr uint64_t kMiB = 1 << 20;
#ifndef MFD_HUGE_SHIFT
inline constexpr unsigned MFD_HUGE_SHIFT = 26;  // of linux/memfd.h: the size of huge pages as a power of two
#endif

// The kinds of memory of a block. All except the last two are shared; what lies on a disk is not mapped.
enum class Kind { memfd, memfd_split, tmpfs_file, disk_file, anonymous_shared, private_memory, private_file };

inline std::string kind_name(Kind kind) {
  switch (kind) {
    case Kind::memfd:
      return "Memfd";
    case Kind::memfd_split:
      return "MemfdSplit";
    case Kind::tmpfs_file:
      return "TmpfsFile";
    case Kind::disk_file:
      return "DiskFile";
    case Kind::anonymous_shared:
      return "AnonymousShared";
    case Kind::private_memory:
      return "PrivateMemory";
    case Kind::private_file:
      return "PrivateFile";
  }
  return "";
}

// A child process that holds memory and does nothing until it is killed.
class Guest {
 public:
  static constexpr uint64_t kFileOffset = 64 * kGuestPage;  // the block starts elsewhere in its file

  // `memory` is mapped by this process; ownership passes to the child.
  void hold(void* memory, uint64_t size) {
    address_ = reinterpret_cast<uint64_t>(memory);
    length_ = size;
    pid_t parent = ::getpid();
    pid_ = ::fork();
    ASSERT_GE(pid_, 0);
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() != parent) ::_exit(1);
      for (;;) ::pause();
    }
    ::munmap(memory, size);
  }

  explicit Guest(Kind kind, uint64_t size = 8 * kMiB) {
    int flags = MAP_SHARED;
    uint64_t offset = kFileOffset;
    switch (kind) {
      case Kind::memfd:
      case Kind::memfd_split:
        file_ = Fd(::memfd_create("guest-ram-test", MFD_CLOEXEC));
        break;
      case Kind::tmpfs_file:
        file_ = unlinked_file("/dev/shm");
        break;
      case Kind::private_file:
        flags = MAP_PRIVATE;
        file_ = unlinked_file("/dev/shm");
        break;
      case Kind::disk_file:
        file_ = unlinked_file("/tmp");
        break;
      case Kind::anonymous_shared:
        flags = MAP_SHARED | MAP_ANONYMOUS;
        offset = 0;
        break;
      case Kind::private_memory:
        flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        offset = 0;
        break;
    }
    if (file_) {
      EXPECT_EQ(::ftruncate(file_.get(), static_cast<off_t>(offset + size)), 0);
    }
    void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, file_ ? file_.get() : -1,
                          static_cast<off_t>(offset));
    EXPECT_NE(memory, MAP_FAILED);
    auto* bytes = static_cast<uint8_t*>(memory);
    if (kind == Kind::memfd_split) {
      EXPECT_EQ(::madvise(bytes + 3 * kMiB, kMiB, MADV_DONTDUMP), 0);
    }
    hold(memory, size);
  }
  Guest(Fd file, void* memory, uint64_t size) : file_(std::move(file)) { hold(memory, size); }
  ~Guest() { end(); }
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;

  void end() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  // Kills the child without waiting for it.
  void become_zombie() {
    ::kill(pid_, SIGKILL);
    siginfo_t info;
    ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
  }

  pid_t pid() const { return pid_; }
  uint64_t address() const { return address_; }
  std::vector<RamBlockPlace> places() const { return {{"pc.ram", address_, length_, true}}; }

  // Reads the child's memory through its own mapping, which populates the range.
  std::vector<uint8_t> look(uint64_t offset, uint64_t size) const {
    std::vector<uint8_t> bytes(size);
    iovec local{bytes.data(), size};
    iovec remote{reinterpret_cast<void*>(address_ + offset), size};
    EXPECT_EQ(::process_vm_readv(pid_, &local, 1, &remote, 1, 0), static_cast<ssize_t>(size));
    return bytes;
  }
  // Bytes that are allocated: by the file, or by the child, without the kernel's zero page.
  uint64_t allocated() const {
    if (file_) {
      struct stat info {};
      EXPECT_EQ(::fstat(file_.get(), &info), 0);
      return static_cast<uint64_t>(info.st_blocks) * 512;
    }
    std::ifstream rollup(fmt::format("/proc/{}/smaps_rollup", pid_));
    std::string word;
    uint64_t kib = 0;
    while (rollup >> word) {
      if (word == "Anonymous:") {
        rollup >> kib;
        break;
      }
    }
    return kib * 1024;
  }

 private:
  static Fd unlinked_file(const std::string& folder) {
    std::string path = folder + "/wherry-guest-ram-XXXXXX";
    Fd file(::mkostemp(path.data(), O_CLOEXEC));
    EXPECT_TRUE(file);
    ::unlink(path.c_str());
    return file;
  }

  Fd file_;
  pid_t pid_ = -1;
  uint64_t address_ = 0;
  uint64_t length_ = 0;
};

inline GuestRam opened(const Guest& guest) {
  auto ram = GuestRam::open(guest.pid(), guest.places());
  if (!ram) {
    ADD_FAILURE() << ram.error().message;
    std::abort();
  }
  return std::move(*ram);
}

}  // namespace wherry::test
