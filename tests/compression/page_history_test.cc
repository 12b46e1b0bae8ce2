#include "compression/page_history.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "tests/compression/sample_pages.h"

namespace wherry {
namespace {

using test::kPage;

constexpr uint64_t kRegion = 512;  // pages

// Remembers a page if there is room for it.
bool remember(PageHistory& history, uint16_t block, uint64_t page) {
  if (!history.hashes(block, page)) return false;
  history.remember(block, page);
  return true;
}

TEST(PageHistory, KnowsWhatItWasTold) {
  PageHistory history;
  history.set_space({kPage, {2000, 2000}});
  EXPECT_EQ(history.page_size(), kPage);
  EXPECT_FALSE(history.knows(0, 7));
  LineHashes* hashes = history.hashes(0, 7);
  ASSERT_TRUE(hashes);
  EXPECT_FALSE(history.knows(0, 7)) << "until it is remembered";
  hashes->low.fill(9);
  history.remember(0, 7);
  EXPECT_TRUE(history.knows(0, 7));
  EXPECT_EQ(history.hashes(0, 7), hashes) << "they stay where they are";
  EXPECT_EQ(history.hashes(0, 7)->low[63], 9);
  for (const auto& [block, page] :
       std::vector<std::pair<uint16_t, uint64_t>>{{0, 6}, {0, 8}, {1, 7}, {0, 519}})
    EXPECT_FALSE(history.knows(block, page)) << block << ":" << page;
}

TEST(PageHistory, RefersOnlyToBlocksThatTheDestinationCanRead) {
  PageHistory history;
  history.set_space({kPage, {100, 100, 100}});
  for (uint16_t block : {0, 1, 2}) ASSERT_TRUE(remember(history, block, 5));
  EXPECT_FALSE(history.refers(0, 5));
  history.refer_to({1, 2, 3, 65535});
  EXPECT_FALSE(history.refers(0, 5));
  EXPECT_TRUE(history.refers(1, 5));
  EXPECT_TRUE(history.refers(2, 5));
  EXPECT_FALSE(history.refers(1, 6));
}

TEST(PageHistory, TheLastPageOfABlockHasItsPlace) {
  PageHistory history;
  history.set_space({kPage, {kRegion, kRegion + 1, 1}});
  EXPECT_TRUE(remember(history, 0, kRegion - 1));
  EXPECT_TRUE(remember(history, 1, kRegion));
  EXPECT_TRUE(remember(history, 2, 0));
  EXPECT_TRUE(history.knows(1, kRegion));
  EXPECT_FALSE(history.knows(1, 0));
}

TEST(PageHistory, ForgetsOverTheBordersOfRegions) {
  constexpr uint64_t kPages = 5 * kRegion;
  for (const auto& [first, count] : std::vector<std::pair<uint64_t, uint64_t>>{{0, 1},
                                                                               {kRegion - 1, 2},
                                                                               {kRegion, kRegion},
                                                                               {kRegion - 1, kRegion + 2},
                                                                               {100, 3 * kRegion},
                                                                               {0, kPages},
                                                                               {kPages - 1, 1},
                                                                               {7, 0}}) {
    PageHistory history;
    history.set_space({kPage, {kPages}});
    for (uint64_t page = 0; page < kPages; ++page) {
      // The third region was never needed.
      if (page / kRegion == 2) continue;
      ASSERT_TRUE(remember(history, 0, page));
    }
    history.forget(0, first, count);
    for (uint64_t page = 0; page < kPages; ++page) {
      const bool forgotten = page >= first && page < first + count;
      ASSERT_EQ(history.knows(0, page), page / kRegion != 2 && !forgotten)
          << page << " after " << first << "+" << count;
    }
  }
}

TEST(PageHistory, ForgettingTakesNoMemory) {
  PageHistory history;
  history.set_space({kPage, {100 * kRegion}});
  const uint64_t before = history.bytes();
  history.forget(0, 0, 100 * kRegion);
  EXPECT_FALSE(history.knows(0, 5));
  EXPECT_EQ(history.bytes(), before);
}

TEST(PageHistory, DisabledItRefersToNothingAndTakesNothing) {
  PageHistory history;
  history.set_space({kPage, {2000}});
  history.refer_to({0});
  ASSERT_TRUE(remember(history, 0, 5));
  ASSERT_TRUE(history.refers(0, 5));
  history.disable();
  EXPECT_TRUE(history.disabled());
  EXPECT_FALSE(history.refers(0, 5));
  EXPECT_FALSE(history.knows(0, 5));
  EXPECT_FALSE(history.hashes(0, 5));
  EXPECT_FALSE(history.hashes(0, 1000));
  history.forget(0, 0, 2000);
}

// Batches of different epochs are then encoded at the same time, and another thread may be using a copy.
TEST(PageHistory, DisabledItTakesNoCopyAway) {
  PageHistory history;
  history.set_space({kPage, {2000}});
  history.refer_to({0});
  ASSERT_TRUE(remember(history, 0, 5));
  ASSERT_TRUE(history.copies().admit(0, 5, 0, true));
  history.disable();
  history.forget(0, 5, 1);
  EXPECT_NO_THROW(history.copies().release(0, 5));
}

TEST(PageHistory, ForgettingAPageDropsItsCopy) {
  PageHistory history;
  history.set_space({kPage, {2000}});
  history.refer_to({0});
  ASSERT_TRUE(remember(history, 0, 5));
  ASSERT_TRUE(history.copies().admit(0, 5, 0, true));
  history.copies().release(0, 5);
  history.forget(0, 0, 2000);
  EXPECT_FALSE(history.copies().find(0, 5, 0));
}

TEST(PageHistory, TheDefaultBudgetHasRoomForEveryPage) {
  for (const uint32_t page_size : {4096u, 65536u}) {
    PageHistory history;
    history.set_space({page_size, {40 * kRegion, 3, 10 * kRegion + 1}});
    for (uint64_t page = 0; page < 40 * kRegion; page += kRegion) EXPECT_TRUE(remember(history, 0, page));
    EXPECT_TRUE(remember(history, 1, 2));
    for (uint64_t page = 0; page <= 10 * kRegion; page += kRegion) EXPECT_TRUE(remember(history, 2, page));
    EXPECT_LE(history.bytes(), history.budget());
    EXPECT_EQ(history.budget(), (50 * kRegion + 4) * page_size / 16 + (64 << 20));
  }
}

TEST(PageHistory, TakesNoMoreThanItsBudget) {
  constexpr uint64_t kBudget = 1'000'000;  // ten regions
  PageHistory history(kBudget);
  history.set_space({kPage, {100 * kRegion}});
  EXPECT_EQ(history.budget(), kBudget);
  std::vector<uint64_t> remembered;
  for (uint64_t page = 0; page < 100 * kRegion; page += kRegion) {
    if (remember(history, 0, page)) remembered.push_back(page);
    EXPECT_LE(history.bytes(), kBudget);
  }
  EXPECT_GE(remembered.size(), 8u);
  EXPECT_LE(remembered.size(), 10u);
  // A page takes at least its hashes.
  EXPECT_GE(history.bytes(), remembered.size() * kRegion * sizeof(LineHashes)) << "what is taken is counted";
  for (const uint64_t page : remembered) {
    EXPECT_TRUE(history.knows(0, page));
    EXPECT_TRUE(remember(history, 0, page + 1)) << "in a region that is there";
  }
  EXPECT_FALSE(history.hashes(0, 99 * kRegion));
  EXPECT_FALSE(history.knows(0, 99 * kRegion));
  history.forget(0, 99 * kRegion, 10);
}

TEST(PageHistory, WithoutABudgetNothingIsRemembered) {
  PageHistory history(0);
  history.set_space({kPage, {2000}});
  EXPECT_FALSE(history.hashes(0, 0));
  EXPECT_FALSE(history.knows(0, 0));
  EXPECT_FALSE(history.refers(0, 0));
  EXPECT_LT(history.bytes(), 1000u) << "the lists of regions that will never be";
}

// Remembers the first page of so many regions, and that it has landed.
void remember_regions(PageHistory& history, uint64_t regions) {
  for (uint64_t i = 0; i < regions; ++i) {
    ASSERT_TRUE(remember(history, 0, i * kRegion));
    const KnownPage known = history.known((i + 1) * 0x9e3779b97f4a7c15, 0, i * kRegion);
    history.landed({&known, 1});
  }
}

size_t with_hashes(PageHistory& history, uint64_t regions) {
  size_t count = 0;
  for (uint64_t i = 0; i < regions; ++i) count += history.hashes(0, i * kRegion) != nullptr;
  return count;
}

TEST(PageHistory, ShrinkingTakesCopiesThenTheIndexThenHashes) {
  constexpr uint64_t kRegions = 20;
  constexpr uint64_t kFirst = 0x9e3779b97f4a7c15;
  PageHistory history(3'000'000);
  history.set_space({kPage, {kRegions * kRegion - 1}});
  history.refer_to({0});
  remember_regions(history, kRegions);
  uint64_t copies = 0;
  for (; history.copies().admit(0, copies, 0, true); ++copies) history.copies().release(0, copies);
  ASSERT_GT(copies, 100u);
  const uint64_t of_copies = history.copies().bytes();
  const uint64_t before = history.bytes();
  ASSERT_GT(before, 2'900'000u);

  history.shrink(before - of_copies / 2);
  EXPECT_EQ(history.budget(), before - of_copies / 2);
  EXPECT_LE(history.bytes(), history.budget());
  EXPECT_GT(history.bytes(), history.budget() - 2 * (kPage + KeptCopies::kOverhead));
  EXPECT_TRUE(history.copies().find(0, 0, 1));
  EXPECT_FALSE(history.copies().find(0, copies - 1, 1));
  EXPECT_TRUE(history.find(kFirst));
  EXPECT_EQ(with_hashes(history, kRegions), kRegions);
  history.copies().release(0, 0);

  history.shrink(before - of_copies - 1000);
  EXPECT_LE(history.bytes(), history.budget());
  EXPECT_EQ(history.copies().bytes(), 0u);
  EXPECT_FALSE(history.find(kFirst)) << "the index is gone";
  EXPECT_EQ(with_hashes(history, kRegions), kRegions);

  history.shrink(1'000'000);
  EXPECT_LE(history.bytes(), 1'000'000u);
  const size_t left = with_hashes(history, kRegions);
  EXPECT_GT(left, 7u);
  EXPECT_LT(left, 11u);
  EXPECT_TRUE(history.hashes(0, 0)) << "the first stay";
  EXPECT_TRUE(history.refers(0, (kRegions - 1) * kRegion)) << "the destination still has that page";
  history.shrink(2'000'000);
  EXPECT_EQ(history.budget(), 1'000'000u);
  EXPECT_EQ(with_hashes(history, kRegions), left) << "it does not grow again";
  history.shrink(0);
  EXPECT_EQ(with_hashes(history, kRegions), 0u);
  EXPECT_LT(history.bytes(), kRegions * kRegion * 4);
  EXPECT_EQ(history.budget(), history.bytes()) << "what cannot be given back";
}

TEST(PageHistory, ShrinkingBeforeItKnowsThePagesIsABound) {
  PageHistory history;
  history.shrink(1'000'000);
  EXPECT_EQ(history.budget(), 0u);
  history.set_space({kPage, {100 * kRegion}});
  EXPECT_EQ(history.budget(), 1'000'000u);
  EXPECT_LE(with_hashes(history, 100), 10u);
  EXPECT_LE(history.bytes(), 1'000'000u);
}

TEST(PageHistory, ShrinkingBeforeItIsKnownWhatToReferToLeavesNothingForCopies) {
  for (const bool by_copies : {false, true}) {
    PageHistory history;
    history.set_space({kPage, {100 * kRegion}});
    for (uint64_t page = 0; page < 20 * kRegion; page += kRegion) ASSERT_TRUE(remember(history, 0, page));
    history.shrink(1'000'000);
    EXPECT_LE(history.bytes(), 1'000'000u);
    if (by_copies) {
      history.refer_to_copies(1000);
    } else {
      history.refer_to({0});
    }
    for (uint64_t page = 0; page < 300; ++page) {
      if (history.copies().admit(0, page, 0, true)) history.copies().release(0, page);
    }
    EXPECT_LE(history.bytes(), 1'000'000u);
  }
}

TEST(PageHistory, ShrinkingDoesNotDisturbWhoRemembersPages) {
  constexpr uint64_t kPages = 40 * kRegion;
  PageHistory history;
  history.set_space({kPage, {kPages}});
  history.refer_to({0});
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < 2; ++i) {
    threads.emplace_back([&, i] {
      for (uint64_t page = i; page < kPages; page += 2) {
        if (LineHashes* hashes = history.hashes(0, page)) {
          hashes->low.fill(static_cast<uint16_t>(page));
          history.remember(0, page);
          const KnownPage known = history.known(page << 48 | page, 0, page);
          history.landed({&known, 1});
        } else {
          history.forget(0, page, 1);
        }
        (void)history.find(page << 48 | page);
        if (history.copies().admit(0, page, static_cast<uint32_t>(page), true))
          history.copies().release(0, page);
      }
    });
  }
  while (history.bytes() < 4'000'000) std::this_thread::yield();
  for (uint64_t most = 3'900'000; most >= 100'000; most -= 100'000) history.shrink(most);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(history.budget(), 100'000u);
  EXPECT_LE(history.bytes(), 100'000u);
}

TEST(PageHistory, FindsAPageByItsContentOnceItHasLanded) {
  PageHistory history;
  history.set_space({kPage, {2000, 2000}});
  history.refer_to({0, 1});
  ASSERT_TRUE(remember(history, 1, 7));
  const KnownPage known = history.known(42, 1, 7);
  EXPECT_FALSE(history.find(42));
  history.landed({&known, 1});
  EXPECT_EQ(history.find(42), known);
  EXPECT_EQ(known.block, 1u);
  EXPECT_EQ(known.page, 7u);
  history.remember(1, 7, false);
  EXPECT_EQ(history.find(42), known) << "it was sent again, as it was";
  history.disable();
  EXPECT_FALSE(history.find(42));
}

TEST(PageHistory, DoesNotFindAPageThatHasChangedSince) {
  PageHistory history;
  history.set_space({kPage, {2000}});
  history.refer_to({0});
  for (uint64_t page = 0; page < 6; ++page) {
    ASSERT_TRUE(remember(history, 0, page));
    const KnownPage known = history.known(100 + page, 0, page);
    if (page % 2) history.landed({&known, 1});
    if (page < 4) history.remember(0, page);
    if (page >= 4) history.forget(0, page, 1);
    if (page % 2 == 0) history.landed({&known, 1});  // only now
    EXPECT_FALSE(history.find(100 + page)) << page;
  }
}

TEST(PageHistory, TheIndexOfContentsIsPartOfTheBudget) {
  constexpr uint64_t kHashes = 450'000;  // of four regions; there are five
  for (const auto& [budget, room] :
       std::vector<std::pair<uint64_t, bool>>{{kHashes, false}, {1'000'000, true}}) {
    PageHistory history(budget);
    history.set_space({kPage, {4 * kRegion}});
    history.refer_to({0});
    for (uint64_t page = 0; page < 4 * kRegion; ++page) {
      if (!remember(history, 0, page)) continue;
      const KnownPage known = history.known(page << 53 | 1, 0, page);
      history.landed({&known, 1});
    }
    EXPECT_EQ(history.find(uint64_t{5} << 53 | 1).has_value(), room) << budget;
    EXPECT_LE(history.bytes(), budget);
  }
}

TEST(PageHistory, ByCopiesThereAreNoHashesAndAsManyCopiesAsBothSidesCanKeep) {
  for (const auto& [most, room] : std::vector<std::pair<uint64_t, uint64_t>>{{5, 5}, {1 << 30, 200}}) {
    PageHistory history(1'000'000);
    history.set_space({kPage, {4 * kRegion}});
    ASSERT_TRUE(history.hashes(0, 0)) << "until it is known that they are of no use";
    history.remember(0, 0);
    EXPECT_FALSE(history.by_copies());
    history.refer_to_copies(most);
    EXPECT_TRUE(history.by_copies());
    EXPECT_FALSE(history.refers(0, 0));
    ASSERT_TRUE(history.has_room(0, kRegion));
    EXPECT_FALSE(history.hashes(0, kRegion));
    uint64_t kept = 0;
    for (uint64_t page = 0; page < 4 * kRegion; ++page) {
      if (!history.copies().admit(0, page, 0, true)) break;
      ++kept;
    }
    EXPECT_LE(kept, most);
    EXPECT_GE(kept, room);
    EXPECT_LE(history.bytes(), history.budget());
  }
}

TEST(PageHistory, WhatThereIsToReferToIsSaidOnce) {
  PageHistory history;
  history.set_space({kPage, {2000}});
  history.refer_to({0});
  history.refer_to_copies(100);
  EXPECT_FALSE(history.by_copies());
  PageHistory other;
  other.set_space({kPage, {2000}});
  other.refer_to_copies(100);
  other.refer_to({0});
  EXPECT_TRUE(other.by_copies());
  EXPECT_FALSE(other.readable(0));
}

TEST(PageHistory, ManyThreadsMayRememberDifferentPages) {
  constexpr uint64_t kPages = 20 * kRegion;
  PageHistory history;
  history.set_space({kPage, {kPages}});
  history.refer_to({0});
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < 3; ++i) {
    threads.emplace_back([&, i] {
      for (uint64_t page = i; page < kPages; page += 3) {
        LineHashes* hashes = history.hashes(0, page);
        ASSERT_TRUE(hashes);
        hashes->low.fill(static_cast<uint16_t>(page));
        history.remember(0, page);
        if (page % 7 == 0) history.forget(0, page, 1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (uint64_t page = 0; page < kPages; ++page) {
    ASSERT_EQ(history.refers(0, page), page % 7 != 0);
    ASSERT_EQ(history.hashes(0, page)->low[1], static_cast<uint16_t>(page));
  }
  EXPECT_LE(history.bytes(), history.budget());
}

}  // namespace
}  // namespace wherry
