#include "transport/source/history_watch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <thread>

namespace wherry {
namespace {

constexpr uint64_t kUnbounded = std::numeric_limits<uint64_t>::max();
const PageSpace kGuest{4096, {100'000}};

TEST(HistoryWatch, TheHistoryBeginsWithWhatCanBeAfforded) {
  PageHistory history;
  HistoryWatch watch(history, {}, [](uint64_t) { return uint64_t{1'000'000}; });
  ASSERT_TRUE(watch.start());
  history.set_space(kGuest);
  EXPECT_EQ(history.budget(), 1'000'000u);
}

TEST(HistoryWatch, WhatTheUserWantsIsNotExceeded) {
  PageHistory history(2'000'000);
  HistoryWatch watch(history, {}, [](uint64_t) { return kUnbounded; });
  ASSERT_TRUE(watch.start());
  history.set_space(kGuest);
  EXPECT_EQ(history.budget(), 2'000'000u);
}

TEST(HistoryWatch, TheHistoryShrinksWhenMemoryRunsShort) {
  PageHistory history;
  std::atomic<uint64_t> affordable = kUnbounded;
  std::atomic<uint64_t> said = 0;
  HistoryWatch watch(history, {}, [&](uint64_t taken) {
    said = taken;
    return affordable.load();
  });
  ASSERT_TRUE(watch.start());
  history.set_space(kGuest);
  for (uint64_t page = 0; page < 10'000; page += 512) ASSERT_TRUE(history.hashes(0, page));
  const uint64_t before = history.bytes();
  affordable = before / 2;
  while (history.budget() > before / 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  while (history.bytes() > before / 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  affordable = kUnbounded;
  while (said == before) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(history.budget(), before / 2) << "it does not grow again";
}

TEST(AffordableHistory, IsAQuarterOfWhatWouldBeLeftWithoutIt) {
  constexpr uint64_t kTaken = uint64_t{1} << 50;
  const uint64_t more = affordable_history(kTaken);
  EXPECT_GE(more, kTaken / 4);
  EXPECT_LT(more, kTaken / 4 + (uint64_t{1} << 48));
  EXPECT_GT(affordable_history(0), 0u);
  EXPECT_LT(affordable_history(0), uint64_t{1} << 48);
  EXPECT_EQ(affordable_history(kUnbounded), kUnbounded / 4);
}

}  // namespace
}  // namespace wherry
