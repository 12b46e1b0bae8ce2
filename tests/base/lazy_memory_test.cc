#include "base/lazy_memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace wherry {
namespace {

const auto kSystemPage = static_cast<size_t>(::sysconf(_SC_PAGESIZE));

// How many of its pages the system has provided.
size_t resident(const LazyMemory& memory) {
  std::vector<unsigned char> pages((memory.size() + kSystemPage - 1) / kSystemPage);
  EXPECT_EQ(::mincore(memory.data(), memory.size(), pages.data()), 0);
  return static_cast<size_t>(
      std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return page & 1; }));
}

TEST(LazyMemory, ComesAsItIsWrittenAndGoesAsItIsGivenBack) {
  const LazyMemory memory(64 * kSystemPage);
  ASSERT_EQ(memory.size(), 64 * kSystemPage);
  ::madvise(memory.data(), memory.size(), MADV_NOHUGEPAGE);
  EXPECT_EQ(resident(memory), 0u);
  std::fill_n(memory.data(), memory.size(), uint8_t{7});
  EXPECT_EQ(resident(memory), 64u);
  memory.give_back(10 * kSystemPage, 20 * kSystemPage);
  EXPECT_EQ(resident(memory), 44u);
  EXPECT_EQ(memory.data()[10 * kSystemPage - 1], 7);
  EXPECT_EQ(memory.data()[10 * kSystemPage], 0);
  EXPECT_EQ(memory.data()[30 * kSystemPage - 1], 0);
  EXPECT_EQ(memory.data()[30 * kSystemPage], 7);
}

TEST(LazyMemory, WhatSharesAPageWithOtherThingsStays) {
  const LazyMemory memory(4 * kSystemPage);
  std::fill_n(memory.data(), memory.size(), uint8_t{7});
  memory.give_back(1, kSystemPage);
  memory.give_back(kSystemPage + 1, 2 * kSystemPage - 2);
  memory.give_back(4 * kSystemPage, 0);
  EXPECT_EQ(std::count(memory.data(), memory.data() + memory.size(), 7),
            static_cast<ptrdiff_t>(memory.size()));
}

TEST(LazyMemory, ThatTheSystemRefusesIsNone) {
  EXPECT_EQ(LazyMemory(0).size(), 0u);
  EXPECT_EQ(LazyMemory(size_t{1} << 60).size(), 0u);
  EXPECT_EQ(LazyMemory().size(), 0u);
}

TEST(LazyMemory, HasOneOwner) {
  LazyMemory one(kSystemPage);
  one.data()[0] = 1;
  LazyMemory other(std::move(one));
  EXPECT_EQ(other.data()[0], 1);
  one = LazyMemory(2 * kSystemPage);
  other = std::move(one);
  EXPECT_EQ(other.size(), 2 * kSystemPage);
}

}  // namespace
}  // namespace wherry
