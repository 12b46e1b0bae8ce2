#include "compression/copy_mirror.h"

#include <gtest/gtest.h>

#include <array>
#include <thread>

#include "compression/page_patch.h"
#include "tests/base/expect_error.h"
#include "tests/compression/sample_pages.h"
#include "tests/compression/sample_secret.h"

namespace wherry {
namespace {

using test::Bytes;
using test::kPage;
using test::random_page;

constexpr std::array<uint8_t, 2> kUnchanged = {0, 0};

uint64_t sum_of(const Bytes& page) {
  return hash_page(page.data(), kPage, test::kSampleSecret);
}

// Whether the copy at a place is of this page and holds `what`.
bool holds(CopyMirror& copies, uint32_t place, uint16_t block, uint64_t index, const Bytes& what) {
  Bytes page(kPage);
  return copies.patch(place, block, index, kUnchanged, sum_of(what), page.data()) && page == what;
}

TEST(CopyMirror, KeepsWhatItIsGiven) {
  CopyMirror copies(3, kPage, test::kSampleSecret);
  const Bytes first = random_page(1);
  const Bytes second = random_page(2);
  ASSERT_TRUE(copies.keep(2, 0, 7, first.data()));
  ASSERT_TRUE(copies.keep(0, 1, 7, second.data()));
  EXPECT_TRUE(holds(copies, 2, 0, 7, first));
  EXPECT_TRUE(holds(copies, 0, 1, 7, second));
}

TEST(CopyMirror, APatchChangesTheCopyAndMayComeTwice) {
  CopyMirror copies(3, kPage, test::kSampleSecret);
  Bytes page = random_page(1);
  ASSERT_TRUE(copies.keep(1, 0, 7, page.data()));
  Bytes next = page;
  next[100] ^= 1;
  next[4000] ^= 1;
  std::array<uint8_t, 64> patch;
  ASSERT_GT(make_patch(page.data(), next.data(), kPage, patch), 0u);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(copies.patch(1, 0, 7, patch, sum_of(next), page.data()));
    EXPECT_EQ(page, next);
  }
  EXPECT_TRUE(holds(copies, 1, 0, 7, next));
}

TEST(CopyMirror, APlaceServesThePageThatWasKeptThereLast) {
  CopyMirror copies(3, kPage, test::kSampleSecret);
  ASSERT_TRUE(copies.keep(1, 0, 7, random_page(1).data()));
  ASSERT_TRUE(copies.keep(1, 0, 8, random_page(2).data()));
  EXPECT_TRUE(holds(copies, 1, 0, 8, random_page(2)));
  for (const auto& [place, block, index] :
       std::vector<std::tuple<uint32_t, uint16_t, uint64_t>>{{1, 0, 7}, {1, 1, 8}, {0, 0, 8}, {2, 0, 8}}) {
    EXPECT_FALSE(holds(copies, place, block, index, random_page(2))) << place;
  }
}

TEST(CopyMirror, WhatComesOutMustBeThePageThatIsMeant) {
  CopyMirror copies(3, kPage, test::kSampleSecret);
  const Bytes page = random_page(1);
  ASSERT_TRUE(copies.keep(1, 0, 7, page.data()));
  Bytes out(kPage);
  EXPECT_FALSE(copies.patch(1, 0, 7, kUnchanged, sum_of(page) + 1, out.data()));
  EXPECT_TRUE(copies.patch(1, 0, 7, kUnchanged, sum_of(page), out.data()));
}

// The last place costs what the first does: it is a peer that chooses.
TEST(CopyMirror, TheNumberOfAPlaceTakesNoMemory) {
  constexpr uint32_t kMost = ~uint32_t{0};
  CopyMirror copies(kMost, kPage, test::kSampleSecret);
  const Bytes page = random_page(1);
  ASSERT_TRUE(copies.keep(kMost - 1, 0, 7, page.data()));
  EXPECT_TRUE(holds(copies, kMost - 1, 0, 7, page));
  EXPECT_LT(copies.bytes(), 2 * kPage);
}

TEST(CopyMirror, APatchThatReachesBeyondThePageIsNotApplied) {
  CopyMirror copies(3, kPage, test::kSampleSecret);
  const Bytes page = random_page(1);
  ASSERT_TRUE(copies.keep(1, 0, 7, page.data()));
  Bytes out(kPage);
  for (const Bytes& patch : {Bytes{4, 0, 0x00, 0x10, 0, 'x'}, Bytes{0xff, 0xff, 0, 0, 0, 'x'}, Bytes{4}})
    EXPECT_FALSE(copies.patch(1, 0, 7, patch, sum_of(page), out.data()));
  EXPECT_TRUE(holds(copies, 1, 0, 7, page));
}

TEST(CopyMirror, HasNoMorePlacesThanItSaid) {
  CopyMirror copies(3, kPage, test::kSampleSecret);
  const Bytes page = random_page(1);
  for (const uint32_t place : {3u, 4u, ~0u}) {
    auto kept = copies.keep(place, 0, 7, page.data());
    EXPECT_ERROR(kept, fmt::format("place {} of 3", place));
    EXPECT_FALSE(holds(copies, place, 0, 7, page));
  }
  EXPECT_EQ(copies.bytes(), 0u);
}

TEST(CopyMirror, CountsTheMemoryOfPlacesThatAreUsed) {
  CopyMirror copies(1000, kPage, test::kSampleSecret);
  const Bytes page = random_page(1);
  EXPECT_EQ(copies.bytes(), 0u);
  ASSERT_TRUE(copies.keep(0, 0, 7, page.data()));
  const uint64_t one = copies.bytes();
  EXPECT_GE(one, kPage);
  EXPECT_LT(one, 2 * kPage);
  ASSERT_TRUE(copies.keep(0, 0, 8, page.data()));
  EXPECT_EQ(copies.bytes(), one);
}

TEST(CopyMirror, ManyThreadsMayUseDifferentPlaces) {
  CopyMirror copies(300, kPage, test::kSampleSecret);
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < 3; ++i) {
    threads.emplace_back([&, i] {
      for (uint32_t place = i; place < 300; place += 3) {
        EXPECT_TRUE(copies.keep(place, 0, place, random_page(place).data()));
        EXPECT_TRUE(holds(copies, place, 0, place, random_page(place)));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (uint32_t place = 0; place < 300; ++place)
    EXPECT_TRUE(holds(copies, place, 0, place, random_page(place)));
}

}  // namespace
}  // namespace wherry
