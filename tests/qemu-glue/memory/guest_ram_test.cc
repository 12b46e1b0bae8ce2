// GuestRam with a child process that has memory of every kind: what is written arrives there, sparse memory
// stays sparse, a range outside a block and a dead process are refused.
#include "qemu-glue/memory/guest_ram.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstddef>
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

#include "tests/base/expect_error.h"
#include "tests/qemu-glue/memory/model_guest.h"
#include "tests/qemu-glue/memory/support.h"
#include "tests/transport/support.h"

namespace wherry {
namespace {

using test::kGuestPage;
using test::pattern;

#ifndef MFD_HUGE_SHIFT
using test::MFD_HUGE_SHIFT;
#endif
using test::kMiB;
using test::opened;
using Guest = test::Guest;
using Kind = test::Kind;

#define ASSERT_OK(expression)                            \
  do {                                                   \
    auto asserted_ = (expression);                       \
    ASSERT_TRUE(asserted_) << asserted_.error().message; \
  } while (false)

class GuestRamOfKind : public testing::TestWithParam<Kind> {};
// All kinds except the one with a read-only piece.
class WritableGuestRam : public testing::TestWithParam<Kind> {};

TEST_P(GuestRamOfKind, TakesTheRightWay) {
  Guest guest(GetParam());
  GuestRam ram = opened(guest);
  ASSERT_EQ(ram.find("pc.ram"), 0u);
  EXPECT_FALSE(ram.find("pc.rom"));
  EXPECT_EQ(ram.block_count(), 1u);
  EXPECT_EQ(ram.name(0), "pc.ram");
  EXPECT_EQ(ram.length(0), 8 * kMiB);
  bool shared =
      GetParam() != Kind::private_memory && GetParam() != Kind::private_file && GetParam() != Kind::disk_file;
  if (GetParam() == Kind::anonymous_shared && !ram.refused().empty()) {
    shared = false;  // map_files cannot be opened here
  }
  EXPECT_EQ(ram.way(0), shared ? GuestRam::Way::mapped : GuestRam::Way::process);
  EXPECT_EQ(ram.mapped_at(0, 0, 8 * kMiB) != nullptr, shared);
  EXPECT_EQ(ram.mapped_at(0, 0, 8 * kMiB + 1), nullptr);
  EXPECT_EQ(ram.mapped_at(0, std::numeric_limits<uint64_t>::max(), 2), nullptr);
  EXPECT_EQ(ram.mapped_at(1, 0, 1), nullptr);
  EXPECT_EQ(ram.way(1), GuestRam::Way::process);
  EXPECT_EQ(ram.length(1), 0u);
}

TEST_P(WritableGuestRam, WritesArrive) {
  Guest guest(GetParam());
  GuestRam ram = opened(guest);
  auto bytes = pattern(5 * kGuestPage, 1);
  std::span<const uint8_t> all(bytes);
  std::vector<GuestRam::Piece> pieces{{7 * kGuestPage, all.subspan(0, kGuestPage)},
                                      {8 * kGuestPage, all.subspan(kGuestPage, kGuestPage)},
                                      {100 * kGuestPage + 17, all.subspan(2 * kGuestPage, 99)},
                                      {kMiB, {}},
                                      {3 * kMiB, all.subspan(3 * kGuestPage, kGuestPage)},
                                      {8 * kMiB - kGuestPage, all.subspan(4 * kGuestPage, kGuestPage)},
                                      {8 * kMiB, {}}};
  ASSERT_OK(ram.write(0, pieces));
  for (const auto& piece : pieces) {
    if (piece.bytes.empty()) continue;
    auto seen = guest.look(piece.offset, piece.bytes.size());
    EXPECT_TRUE(std::equal(seen.begin(), seen.end(), piece.bytes.begin())) << piece.offset;
    std::vector<uint8_t> read(piece.bytes.size());
    ASSERT_OK(ram.read(0, piece.offset, read));
    EXPECT_EQ(read, seen);
  }
  EXPECT_EQ(guest.look(9 * kGuestPage, kGuestPage), std::vector<uint8_t>(kGuestPage));
  ASSERT_OK(ram.write(0, {}));
}

TEST_P(WritableGuestRam, ManyScatteredPieces) {
  // More pieces than one call accepts: once scattered in both processes, once contiguous.
  Guest guest(GetParam(), 16 * kMiB);
  GuestRam ram = opened(guest);
  constexpr size_t kPieces = 3000;
  auto bytes = pattern(kPieces * 64, 2);
  for (size_t stride : {size_t{64}, size_t{32}}) {
    std::vector<GuestRam::Piece> pieces;
    for (size_t i = 0; i < kPieces; ++i) {
      pieces.push_back({i * kGuestPage, std::span<const uint8_t>(bytes).subspan(i * 64, stride)});
    }
    ASSERT_OK(ram.write(0, pieces));
    for (const auto& piece : pieces) {
      std::vector<uint8_t> seen(piece.bytes.size());
      ASSERT_OK(ram.read(0, piece.offset, seen));
      ASSERT_TRUE(std::equal(seen.begin(), seen.end(), piece.bytes.begin())) << piece.offset;
    }
    bytes = pattern(kPieces * 64, 3);
  }
}

TEST_P(WritableGuestRam, ZeroClearsExactlyTheRange) {
  Guest guest(GetParam());
  GuestRam ram = opened(guest);
  auto bytes = pattern(2 * kMiB, 4);
  GuestRam::Piece piece{kMiB, bytes};
  ASSERT_OK(ram.write(0, {&piece, 1}));
  std::vector<uint8_t> expected(8 * kMiB);
  std::copy(bytes.begin(), bytes.end(), expected.begin() + kMiB);
  const std::pair<uint64_t, uint64_t> ranges[] = {
      {kMiB - 5 * kGuestPage, 6 * kGuestPage},         {kMiB + 300 * kGuestPage + 5, 10},
      {kMiB + 310 * kGuestPage + 100, 3 * kGuestPage}, {kMiB + 350 * kGuestPage, 0},
      {3 * kMiB - kGuestPage, 5 * kMiB + kGuestPage},  {8 * kMiB, 0}};
  for (auto [offset, length] : ranges) {
    ASSERT_OK(ram.zero(0, offset, length));
    std::fill_n(expected.begin() + static_cast<ptrdiff_t>(offset), length, 0);
  }
  EXPECT_TRUE(guest.look(0, 8 * kMiB) == expected);
  ASSERT_OK(ram.zero(0, 0, 8 * kMiB));
  EXPECT_TRUE(guest.look(0, 8 * kMiB) == std::vector<uint8_t>(8 * kMiB));
}

TEST_P(WritableGuestRam, SparseStaysSparse) {
  Guest guest(GetParam(), 512 * kMiB);
  GuestRam ram = opened(guest);
  bool can_see = GetParam() != Kind::anonymous_shared;  // no file to open, and not private
  auto byte = pattern(1, 5);
  GuestRam::Piece piece{256 * kMiB + 123, byte};
  ASSERT_OK(ram.write(0, {&piece, 1}));
  uint64_t before = guest.allocated();
  if (can_see) {
    EXPECT_GE(before, kGuestPage);
  }
  ASSERT_OK(ram.zero(0, 0, 512 * kMiB));
  if (GetParam() != Kind::private_file) {  // here read() may allocate
    std::vector<uint8_t> buffer(kMiB);
    for (uint64_t offset = 0; offset < 512 * kMiB; offset += 64 * kMiB)
      ASSERT_OK(ram.read(0, offset, buffer));
  }
  if (can_see) {
    EXPECT_LE(guest.allocated(), before + 16 * kGuestPage);  // page tables and the like, not guest RAM
  }
  EXPECT_EQ(guest.look(256 * kMiB, kGuestPage), std::vector<uint8_t>(kGuestPage));
}

TEST_P(GuestRamOfKind, OutOfRangeIsRefusedWhole) {
  Guest guest(GetParam());
  GuestRam ram = opened(guest);
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  auto bytes = pattern(2 * kGuestPage, 6);
  for (auto [offset, length] :
       std::initializer_list<std::pair<uint64_t, uint64_t>>{{8 * kMiB - kGuestPage, kGuestPage + 1},
                                                            {8 * kMiB, 1},
                                                            {kMax, 1},
                                                            {kMax - kGuestPage + 1, kGuestPage},
                                                            {kMax - 1, 2 * kGuestPage}}) {
    std::vector<GuestRam::Piece> pieces{{4 * kMiB, {bytes.data(), kGuestPage}},
                                        {offset, {bytes.data(), length}}};
    EXPECT_ERROR(ram.write(0, pieces), "'pc.ram'", fmt::format("{:#x}", offset));
    std::vector<uint8_t> into(length);
    EXPECT_FALSE(ram.zero(0, offset, length));
    EXPECT_FALSE(ram.populate(0, offset, length));
    EXPECT_FALSE(ram.read(0, offset, into));
  }
  EXPECT_FALSE(ram.zero(0, 1, kMax));
  EXPECT_FALSE(ram.zero(0, kMax, kMax));
  EXPECT_FALSE(ram.zero(1, 0, 1));
  GuestRam::Piece piece{0, bytes};
  EXPECT_FALSE(ram.write(7, {&piece, 1}));
  EXPECT_FALSE(ram.write(7, {}));
  EXPECT_EQ(guest.look(4 * kMiB, kGuestPage), std::vector<uint8_t>(kGuestPage))
      << "a refused batch must write nothing";
}

TEST_P(GuestRamOfKind, DeadIsAnError) {
  for (bool zombie : {true, false}) {
    Guest guest(GetParam());
    GuestRam ram = opened(guest);
    EXPECT_FALSE(ram.ended());
    zombie ? guest.become_zombie() : guest.end();
    EXPECT_TRUE(ram.ended());
    auto bytes = pattern(kGuestPage, 7);
    GuestRam::Piece piece{0, bytes};
    EXPECT_ERROR(ram.write(0, {&piece, 1}), "ended");
    EXPECT_FALSE(ram.zero(0, 0, kGuestPage));
    EXPECT_FALSE(ram.read(0, 0, bytes));
    if (zombie) {
      EXPECT_FALSE(GuestRam::open(guest.pid(), guest.places()));
    }
  }
}

TEST_P(WritableGuestRam, ThreadsWriteAtOnce) {
  Guest guest(GetParam());
  GuestRam ram = opened(guest);
  constexpr size_t kThreads = 4, kPages = 2048;
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::vector<uint8_t> bytes(kGuestPage, static_cast<uint8_t>(t + 1));
      for (size_t page = t; page < kPages; page += kThreads) {
        GuestRam::Piece piece{page * kGuestPage, bytes};
        EXPECT_TRUE(ram.write(0, {&piece, 1}));
        if (page % 3 == 0) {
          EXPECT_TRUE(ram.zero(0, page * kGuestPage, kGuestPage));
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  auto seen = guest.look(0, kPages * kGuestPage);
  for (size_t page = 0; page < kPages; ++page) {
    uint8_t expected = page % 3 == 0 ? 0 : static_cast<uint8_t>(page % kThreads + 1);
    ASSERT_EQ(seen[page * kGuestPage], expected) << page;
    ASSERT_EQ(seen[page * kGuestPage + kGuestPage - 1], expected) << page;
  }
}

INSTANTIATE_TEST_SUITE_P(, GuestRamOfKind,
                         testing::Values(Kind::memfd, Kind::memfd_split, Kind::tmpfs_file, Kind::disk_file,
                                         Kind::anonymous_shared, Kind::private_memory, Kind::private_file),
                         [](const auto& kind) { return test::kind_name(kind.param); });

INSTANTIATE_TEST_SUITE_P(, WritableGuestRam,
                         testing::Values(Kind::memfd, Kind::tmpfs_file, Kind::disk_file,
                                         Kind::anonymous_shared, Kind::private_memory, Kind::private_file),
                         [](const auto& kind) { return test::kind_name(kind.param); });

TEST(GuestRam, SplitMappingsOfOneFileAreOneBlock) {
  Guest guest(Kind::memfd_split);
  GuestRam ram = opened(guest);
  auto bytes = pattern(4 * kMiB, 8);
  GuestRam::Piece piece{kMiB / 2, bytes};  // spans all mappings
  ASSERT_OK(ram.write(0, {&piece, 1}));
  EXPECT_TRUE(guest.look(kMiB / 2, 4 * kMiB) == bytes);
  ASSERT_OK(ram.zero(0, 0, 8 * kMiB));
  EXPECT_TRUE(guest.look(0, 8 * kMiB) == std::vector<uint8_t>(8 * kMiB));
}

// A monitor may name any memory of its process. What that process may not write, Wherry does not write for
// it.
TEST(GuestRam, WhatTheProcessMayOnlyReadIsRefused) {
  Fd file(::memfd_create("read-only", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(file.get(), kMiB), 0);
  void* memory = ::mmap(nullptr, kMiB, PROT_READ, MAP_SHARED, file.get(), 0);
  ASSERT_NE(memory, MAP_FAILED);
  const Guest guest(std::move(file), memory, kMiB);
  EXPECT_ERROR(GuestRam::open(guest.pid(), guest.places()), "not all of it is writable");
}

TEST(GuestRam, PartlyReadOnlyMemoryIsRefused) {
  Fd file(::memfd_create("partly", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(file.get(), kMiB), 0);
  void* memory = ::mmap(nullptr, kMiB, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  ASSERT_NE(memory, MAP_FAILED);
  ASSERT_EQ(::mprotect(static_cast<uint8_t*>(memory) + kMiB / 2, kGuestPage, PROT_READ), 0);
  const Guest guest(std::move(file), memory, kMiB);
  EXPECT_ERROR(GuestRam::open(guest.pid(), guest.places()), "not all of it is writable");
}

// Without a descriptor of the process the file is opened with the rights of this one, so it must be the
// process's.
TEST(GuestRam, AnotherUsersFileIsNotOpenedForAProcessThatHasNoDescriptor) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  for (const uid_t owner : {uid_t{0}, uid_t{65534}}) {
    void* memory = nullptr;
    {
      const Fd file(::memfd_create("closed", MFD_CLOEXEC));
      ASSERT_EQ(::ftruncate(file.get(), kMiB), 0);
      ASSERT_EQ(::fchown(file.get(), owner, owner), 0);
      memory = ::mmap(nullptr, kMiB, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
      ASSERT_NE(memory, MAP_FAILED);
    }
    const Guest guest({}, memory, kMiB);
    const GuestRam ram = opened(guest);
    EXPECT_EQ(ram.way(0), owner == 0 ? GuestRam::Way::mapped : GuestRam::Way::process);
    if (owner != 0) {
      EXPECT_THAT(ram.refused(), testing::ElementsAre(testing::HasSubstr("belongs to user 65534")));
    }
  }
}

// As for an ordinary user where kernel.yama.ptrace_scope is 1.
bool forbid_copying_descriptors() {
  std::array filter{sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                    sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_getfd, 0, 1),
                    sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                    sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const sock_fprog program{filter.size(), filter.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST(GuestRam, WithoutACopyOfItsDescriptorTheFileOfTheProcesssUserIsOpened) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  for (const uid_t owner : {uid_t{0}, uid_t{65534}}) {
    Fd file(::memfd_create("open", MFD_CLOEXEC));
    ASSERT_EQ(::ftruncate(file.get(), kMiB), 0);
    ASSERT_EQ(::fchown(file.get(), owner, owner), 0);
    void* memory = ::mmap(nullptr, kMiB, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    ASSERT_NE(memory, MAP_FAILED);
    const Guest guest(std::move(file), memory, kMiB);
    EXPECT_EQ(opened(guest).way(0), GuestRam::Way::mapped) << "by a copy, whoever owns the file";
    const auto expected = owner == 0 ? GuestRam::Way::mapped : GuestRam::Way::process;
    EXPECT_TRUE(test::in_a_child([&] {
      if (!forbid_copying_descriptors()) return false;
      const auto ram = GuestRam::open(guest.pid(), guest.places());
      return ram && ram->way(0) == expected;
    })) << owner;
  }
}

TEST(GuestRam, WritesInPlace) {
  Guest guest(Kind::memfd);
  GuestRam ram = opened(guest);
  ASSERT_OK(ram.populate(0, 5 * kGuestPage, 2 * kGuestPage));
  ASSERT_OK(ram.populate(0, 6 * kGuestPage + 1, 100 * kGuestPage));
  ASSERT_OK(ram.populate(0, 0, 0));
  uint8_t* place = ram.mapped_at(0, 5 * kGuestPage, kGuestPage);
  ASSERT_NE(place, nullptr);
  std::memset(place, 0x5a, kGuestPage);
  EXPECT_EQ(guest.look(5 * kGuestPage, kGuestPage), std::vector<uint8_t>(kGuestPage, 0x5a));
}

TEST(GuestRam, PrivateFileContentIsZeroedToo) {
  // A private page that was never touched shows the file's bytes, so absence does not mean zeros.
  Fd file(::memfd_create("content", MFD_CLOEXEC));
  auto bytes = pattern(kMiB, 9);
  ASSERT_EQ(::write(file.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  void* memory = ::mmap(nullptr, kMiB, PROT_READ | PROT_WRITE, MAP_PRIVATE, file.get(), 0);
  ASSERT_NE(memory, MAP_FAILED);
  Guest guest(std::move(file), memory, kMiB);
  GuestRam ram = opened(guest);
  EXPECT_EQ(ram.way(0), GuestRam::Way::process);
  ASSERT_OK(ram.zero(0, kGuestPage, kMiB - kGuestPage));
  EXPECT_TRUE(guest.look(kGuestPage, kMiB - kGuestPage) == std::vector<uint8_t>(kMiB - kGuestPage));
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.begin() + kGuestPage, guest.look(0, kGuestPage).begin()));
}

TEST(GuestRam, TerabytesOfHoles) {
  // ThreadSanitizer leaves no address space for more.
  constexpr uint64_t kLarge = uint64_t{1} << 35;
  for (Kind kind : {Kind::memfd, Kind::private_memory}) {
    uint64_t size = kLarge;
    Guest guest(kind, size);
    GuestRam ram = opened(guest);
    auto byte = pattern(1, 10);
    GuestRam::Piece piece{size - 1, byte};
    ASSERT_OK(ram.write(0, {&piece, 1}));
    uint64_t before = guest.allocated();
    ASSERT_OK(ram.zero(0, 0, size));
    EXPECT_LE(guest.allocated(), before + 16 * kGuestPage);
    EXPECT_EQ(guest.look(size - 1, 1), std::vector<uint8_t>(1));
  }
}

TEST(GuestRam, ZeroInSmallStepsIsNotQuadratic) {
  // Each step must examine its own range only, not all the data after it; otherwise this takes half an hour.
  constexpr uint64_t kSize = 256 * kMiB;
  Guest guest(Kind::memfd, kSize);
  GuestRam ram = opened(guest);
  auto bytes = pattern(kMiB, 15);
  for (uint64_t offset = 0; offset < kSize; offset += kMiB) {
    GuestRam::Piece piece{offset, bytes};
    ASSERT_OK(ram.write(0, {&piece, 1}));
  }
  for (uint64_t offset = 0; offset < kSize; offset += kGuestPage) ASSERT_OK(ram.zero(0, offset, kGuestPage));
  std::vector<uint8_t> seen(kMiB);
  ASSERT_OK(ram.read(0, kSize - kMiB, seen));
  EXPECT_TRUE(seen == std::vector<uint8_t>(kMiB));
}

TEST(GuestRam, HugePages) {
  constexpr uint64_t kHuge = 2 * kMiB;
  Fd file(::memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | (21u << MFD_HUGE_SHIFT)));
  if (!file || ::ftruncate(file.get(), 3 * kHuge) != 0) GTEST_SKIP() << "no huge pages in this kernel";
  // MAP_NORESERVE, as memory-backend-memfd with reserve=off does: pages are allocated when touched.
  void* memory =
      ::mmap(nullptr, 3 * kHuge, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file.get(), 0);
  if (memory == MAP_FAILED) GTEST_SKIP() << "no huge pages on this machine";
  Guest guest(std::move(file), memory, 3 * kHuge);
  GuestRam ram = opened(guest);
  EXPECT_EQ(ram.way(0), GuestRam::Way::mapped);
  EXPECT_EQ(guest.allocated(), 0u);
  ASSERT_OK(ram.zero(0, 0, 3 * kHuge));
  EXPECT_EQ(guest.allocated(), 0u);
  auto bytes = pattern(3 * kGuestPage, 11);
  GuestRam::Piece piece{kHuge + 5 * kGuestPage, bytes};
  if (auto written = ram.write(0, {&piece, 1}); !written) {
    EXPECT_ERROR(written, "allocate", "block");
    GTEST_SKIP() << "no free huge page: " << written.error().message;
  }
  EXPECT_EQ(guest.allocated(), kHuge);
  EXPECT_TRUE(guest.look(kHuge + 5 * kGuestPage, 3 * kGuestPage) == bytes);
  ASSERT_OK(ram.zero(0, kGuestPage, 3 * kHuge - kGuestPage));
  EXPECT_EQ(guest.allocated(), kHuge);
  EXPECT_TRUE(guest.look(kHuge, kHuge) == std::vector<uint8_t>(kHuge));
}

TEST(GuestRam, PrivateHugePages) {
  constexpr uint64_t kHuge = 2 * kMiB;
  Fd file(::memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | (21u << MFD_HUGE_SHIFT)));
  if (!file || ::ftruncate(file.get(), 3 * kHuge) != 0) GTEST_SKIP() << "no huge pages in this kernel";
  void* memory =
      ::mmap(nullptr, 3 * kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file.get(), 0);
  if (memory == MAP_FAILED) GTEST_SKIP() << "no huge pages on this machine";
  Guest guest(std::move(file), memory, 3 * kHuge);
  auto resident = [&] {
    std::ifstream rollup(fmt::format("/proc/{}/smaps_rollup", guest.pid()));
    std::string word;
    uint64_t kib = 0;
    while (rollup >> word) {
      if (word == "Private_Hugetlb:" || word == "Shared_Hugetlb:") {
        uint64_t more = 0;
        rollup >> more;
        kib += more;
      }
    }
    return kib * 1024;
  };
  // Opening probes the first byte, which may need a page.
  auto opened_ram = GuestRam::open(guest.pid(), guest.places());
  if (!opened_ram) GTEST_SKIP() << "no free huge page: " << opened_ram.error().message;
  GuestRam ram = std::move(*opened_ram);
  EXPECT_EQ(ram.way(0), GuestRam::Way::process);
  uint64_t before = resident();
  EXPECT_LE(before, kHuge);
  ASSERT_OK(ram.zero(0, 0, 3 * kHuge));
  EXPECT_EQ(resident(), before);
  EXPECT_LE(guest.allocated(), kHuge);
  auto bytes = pattern(3 * kGuestPage, 14);
  GuestRam::Piece piece{kHuge + 5 * kGuestPage, bytes};
  if (!ram.write(0, {&piece, 1})) GTEST_SKIP() << "no free huge page";
  EXPECT_TRUE(guest.look(kHuge + 5 * kGuestPage, 3 * kGuestPage) == bytes);
  ASSERT_OK(ram.zero(0, 0, 3 * kHuge));
  EXPECT_TRUE(guest.look(kHuge, kHuge) == std::vector<uint8_t>(kHuge));
}

TEST(GuestRam, AFullFileSystemIsAnErrorAndNoSignal) {
  // hugetlbfs with more pages than any machine has free stands for a full file system.
  constexpr uint64_t kHuge = 1 << 30;
  Fd file(::memfd_create("full", MFD_CLOEXEC | MFD_HUGETLB | (30u << MFD_HUGE_SHIFT)));
  if (!file || ::ftruncate(file.get(), kHuge) != 0) GTEST_SKIP() << "no pages of 1 GiB in this kernel";
  void* memory = ::mmap(nullptr, kHuge, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file.get(), 0);
  if (memory == MAP_FAILED) GTEST_SKIP() << "no pages of 1 GiB on this machine";
  Guest guest(std::move(file), memory, kHuge);
  GuestRam ram = opened(guest);
  auto bytes = pattern(kGuestPage, 12);
  GuestRam::Piece piece{kGuestPage, bytes};
  auto written = ram.write(0, {&piece, 1});
  if (written) GTEST_SKIP() << "a page of 1 GiB was free";
  EXPECT_ERROR(written, "full");
}

TEST(GuestRam, OpenTakesPlainBlocksOnly) {
  Guest guest(Kind::memfd);
  uint64_t at = guest.address();
  auto ram = GuestRam::open(guest.pid(), {{"pc.rom", at, kMiB, false},
                                          {"empty", at, 0, true},
                                          {"low", at, kMiB, true},
                                          {"high", at + kMiB, kMiB, true},
                                          {"low", at, kMiB, true},
                                          {"unmapped", 0x1000, kMiB, true},
                                          {"too long", at, kMiB << 30, true},
                                          {"crooked", at + 1, kMiB, true},
                                          {"overflow", at, std::numeric_limits<uint64_t>::max(), true}});
  ASSERT_TRUE(ram) << ram.error().message;
  EXPECT_EQ(ram->block_count(), 2u);
  EXPECT_EQ(ram->refused().size(), 5u);
  auto high = ram->find("high");
  ASSERT_TRUE(high);
  auto bytes = pattern(kGuestPage, 13);
  GuestRam::Piece piece{kGuestPage, bytes};
  ASSERT_OK(ram->write(*high, {&piece, 1}));
  EXPECT_TRUE(guest.look(kMiB + kGuestPage, kGuestPage) == bytes);
  EXPECT_FALSE(ram->write(*ram->find("low"), std::vector<GuestRam::Piece>{{kMiB, bytes}}));

  GuestRam moved = std::move(*ram);
  EXPECT_TRUE(moved.find("low"));

  EXPECT_ERROR(GuestRam::open(guest.pid(), {{"pc.rom", at, kMiB, false}}), "no block of plain guest RAM");
  EXPECT_ERROR(GuestRam::open(guest.pid(), {{"gone", 0x1000, kMiB, true}}), "'gone'");
}

TEST(GuestRam, ReadOnlyPrivateMemoryIsRefused) {
  void* memory = ::mmap(nullptr, kMiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  ASSERT_EQ(::mprotect(static_cast<uint8_t*>(memory) + kMiB / 2, kGuestPage, PROT_READ), 0);
  Guest guest(Fd(), memory, kMiB);
  EXPECT_ERROR(GuestRam::open(guest.pid(), guest.places()), "writable");
}

TEST(GuestRam, NoSuchProcess) {
  pid_t gone;
  {
    Guest guest(Kind::memfd);
    gone = guest.pid();
  }
  for (pid_t pid : {gone, pid_t{0}, pid_t{-1}})
    EXPECT_FALSE(GuestRam::open(pid, {{"pc.ram", 0x10000, kGuestPage, true}}));
}

TEST(GuestRam, WithoutPermissionTheErrorNamesTheRemedy) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
  Guest guest(Kind::private_memory);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::string text = "cannot change user";
    if (::setresgid(65534, 65534, 65534) == 0 && ::setresuid(65534, 65534, 65534) == 0) {
      auto ram = GuestRam::open(guest.pid(), guest.places());
      text = ram ? "opened" : ram.error().message;
    }
    (void)!::write(ends[1], text.data(), text.size());
    ::_exit(0);
  }
  ::close(ends[1]);
  char text[4096];
  ssize_t n = ::read(ends[0], text, sizeof text);
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  ASSERT_GT(n, 0);
  EXPECT_ERROR(std::string(text, static_cast<size_t>(n)), "CAP_SYS_PTRACE");
}

}  // namespace
}  // namespace wherry
