#include "compression/kept_copies.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "tests/compression/sample_pages.h"

namespace wherry {
namespace {

using test::kPage;

class KeptCopiesTest : public ::testing::Test {
 protected:
  // Asks for a copy of the page and, if there is one, fills it with one value. Each call is in a new epoch.
  bool admit(uint16_t block, uint64_t page, uint8_t content) {
    const auto copy = copies_.admit(block, page, ++epoch_, true);
    if (!copy) return false;
    std::fill_n(copy.bytes, kPage, content);
    copies_.release(block, page);
    return true;
  }
  // The value in the copy of a page, or -1 if there is none.
  int content(uint16_t block, uint64_t page) {
    const auto copy = copies_.find(block, page, ++epoch_);
    if (!copy) return -1;
    const int first = copy.bytes[0];
    EXPECT_TRUE(std::all_of(copy.bytes, copy.bytes + kPage, [&](uint8_t byte) { return byte == first; }));
    copies_.release(block, page);
    return first;
  }

  uint32_t epoch_ = 0;
  std::atomic<uint64_t> used_ = 0;
  KeptCopies copies_{3, kPage, used_};
};

TEST_F(KeptCopiesTest, KeepsPagesApart) {
  EXPECT_EQ(content(0, 7), -1);
  EXPECT_TRUE(admit(0, 7, 1));
  EXPECT_TRUE(admit(1, 7, 2));
  EXPECT_TRUE(admit(0, 8, 3));
  EXPECT_EQ(content(0, 7), 1);
  EXPECT_EQ(content(1, 7), 2);
  EXPECT_EQ(content(0, 8), 3);
}

TEST_F(KeptCopiesTest, TakesMemoryAsCopiesComeAndNoMore) {
  EXPECT_EQ(used_, 0u);
  for (uint64_t page = 0; page < 100; ++page) {
    admit(0, page, 1);
    EXPECT_EQ(used_, std::min<uint64_t>(page + 1, 3) * (kPage + KeptCopies::kOverhead));
  }
}

TEST_F(KeptCopiesTest, PagesThatComeBackStayAndOthersGo) {
  for (uint64_t page = 0; page < 3; ++page) ASSERT_TRUE(admit(0, page, 1));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(content(0, 1), 1);
  int let_in = 0;
  for (uint64_t page = 10; page < 14; ++page) let_in += admit(0, page, 2);
  EXPECT_GT(let_in, 0);
  EXPECT_EQ(content(0, 1), 1) << "the one that came back";
  EXPECT_TRUE(content(0, 0) == -1 || content(0, 2) == -1);
}

TEST_F(KeptCopiesTest, EvenABelovedPageGoesInTheEnd) {
  for (uint64_t page = 0; page < 3; ++page) ASSERT_TRUE(admit(0, page, 1));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(content(0, 1), 1);
  for (uint64_t page = 10; page < 60; ++page) admit(0, page, 2);
  EXPECT_EQ(content(0, 1), -1);
}

TEST_F(KeptCopiesTest, ACopyInUseIsNotGivenToAnother) {
  const auto held = copies_.admit(0, 0, 0, true);
  ASSERT_TRUE(held);
  std::fill_n(held.bytes, kPage, uint8_t{9});
  for (uint64_t page = 1; page < 50; ++page) admit(0, page, 2);
  EXPECT_EQ(std::count(held.bytes, held.bytes + kPage, 9), kPage);
  copies_.release(0, 0);
  EXPECT_EQ(content(0, 0), 9);
}

TEST_F(KeptCopiesTest, APageThatIsNewTakesNoOthersPlace) {
  for (uint64_t page = 0; page < 3; ++page) {
    ASSERT_TRUE(copies_.admit(0, page, 0, false));
    copies_.release(0, page);
  }
  for (uint64_t page = 10; page < 30; ++page) EXPECT_FALSE(copies_.admit(0, page, ++epoch_, false));
  EXPECT_TRUE(admit(0, 50, 1)) << "one that comes back takes the place of one that has not yet";
}

TEST_F(KeptCopiesTest, ADroppedCopyMakesRoom) {
  for (uint64_t page = 0; page < 3; ++page) ASSERT_TRUE(admit(0, page, 1));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(content(0, 1), 1);
  copies_.drop(0, 1);
  copies_.drop(5, 5);  // there is none
  EXPECT_EQ(content(0, 1), -1);
  EXPECT_TRUE(admit(0, 1, 4));
  EXPECT_EQ(content(0, 1), 4);
}

TEST_F(KeptCopiesTest, APlaceIsTheSameUntilItChangesHands) {
  std::map<uint64_t, uint32_t> places;
  for (uint64_t page = 0; page < 3; ++page) {
    places[page] = copies_.admit(0, page, 0, true).place;
    copies_.release(0, page);
  }
  EXPECT_EQ(places, (std::map<uint64_t, uint32_t>{{0, 0}, {1, 1}, {2, 2}}));
  for (uint64_t page = 0; page < 3; ++page) {
    EXPECT_EQ(copies_.find(0, page, 1).place, places[page]);
    copies_.release(0, page);
  }
}

// The destination keeps no order within an epoch: it might use the place for the newcomer first.
TEST_F(KeptCopiesTest, APlaceThatWasUsedInAnEpochChangesHandsOnlyInTheNext) {
  for (uint64_t page = 0; page < 3; ++page) {
    ASSERT_TRUE(copies_.admit(0, page, 7, true));
    copies_.release(0, page);
  }
  for (uint64_t page = 10; page < 40; ++page) EXPECT_FALSE(copies_.admit(0, page, 7, true));
  copies_.drop(0, 1);
  EXPECT_FALSE(copies_.admit(0, 50, 7, true));
  const auto newcomer = copies_.admit(0, 50, 8, true);
  ASSERT_TRUE(newcomer);
  EXPECT_EQ(newcomer.place, 1u) << "the place whose page was dropped";
  copies_.release(0, 50);
  for (uint64_t page = 60; page < 90; ++page) {
    const auto other = copies_.admit(0, page, 8, true);
    if (!other) continue;
    EXPECT_NE(other.place, 1u) << "that changed hands in this epoch";
    copies_.release(0, page);
  }
}

TEST_F(KeptCopiesTest, ShrinkingForgetsTheLastPlacesAndFreesThem) {
  for (uint64_t page = 0; page < 3; ++page) ASSERT_TRUE(admit(0, page, static_cast<uint8_t>(page + 1)));
  EXPECT_EQ(copies_.bytes(), used_);
  copies_.shrink(5);
  EXPECT_EQ(content(0, 2), 3) << "there were not so many";
  copies_.shrink(1);
  EXPECT_EQ(used_, kPage + KeptCopies::kOverhead);
  EXPECT_EQ(copies_.bytes(), used_);
  EXPECT_EQ(content(0, 0), 1);
  EXPECT_EQ(content(0, 1), -1);
  EXPECT_EQ(content(0, 2), -1);
  for (uint64_t page = 10; page < 60; ++page) {
    const auto copy = copies_.admit(0, page, ++epoch_, true);
    if (!copy) continue;
    EXPECT_EQ(copy.place, 0u) << "the destination may still have other pages at the others";
    copies_.release(0, page);
  }
  EXPECT_EQ(used_, kPage + KeptCopies::kOverhead);
  copies_.shrink(0);
  EXPECT_FALSE(admit(0, 70, 1));
  EXPECT_EQ(used_, 0u);
}

TEST_F(KeptCopiesTest, ShrinkingLeavesACopyThatIsInUse) {
  ASSERT_TRUE(admit(0, 0, 1));
  const auto held = copies_.admit(0, 1, ++epoch_, true);
  ASSERT_TRUE(held);
  ASSERT_TRUE(admit(0, 2, 3));
  std::fill_n(held.bytes, kPage, uint8_t{9});
  copies_.shrink(0);
  EXPECT_EQ(std::count(held.bytes, held.bytes + kPage, 9), kPage);
  EXPECT_EQ(used_, kPage + KeptCopies::kOverhead);
  copies_.release(0, 1);
  EXPECT_EQ(content(0, 1), 9);
  EXPECT_EQ(content(0, 0), -1);
  EXPECT_EQ(content(0, 2), -1);
  for (uint64_t page = 10; page < 30; ++page) EXPECT_FALSE(admit(0, page, 2));
}

TEST(KeptCopies, WithoutRoomKeepNothing) {
  std::atomic<uint64_t> used = 0;
  KeptCopies none(0, kPage, used);
  EXPECT_FALSE(none.admit(0, 0, 0, true));
  EXPECT_FALSE(none.find(0, 0, 0));
  EXPECT_EQ(used, 0u);
}

}  // namespace
}  // namespace wherry
