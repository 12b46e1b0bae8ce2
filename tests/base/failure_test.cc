#include "base/failure.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/base/expect_error.h"
#include "tests/transport/support.h"

namespace wherry {
namespace {

TEST(Failure, HasNoErrorAtFirst) {
  Failure failure;
  EXPECT_FALSE(failure.failed());
  EXPECT_FALSE(failure.first());
}

TEST(Failure, KeepsTheFirstError) {
  Failure failure;
  failure.fail({"first"});
  failure.fail({"second"});
  EXPECT_TRUE(failure.failed());
  EXPECT_ERROR(failure.first(), "first");
}

TEST(Failure, ThatNobodyCouldHearOfHasComeAlready) {
  const test::FewDescriptors none(0);
  Failure failure;
  ASSERT_TRUE(failure.failed());
  EXPECT_ERROR(failure.first(), "Too many open files");
  bool closed = false;
  const auto guard = failure.on_fail([&] { closed = true; });
  EXPECT_TRUE(closed);
}

TEST(Failure, RunsEachCloserOnceAndKnowsTheErrorThen) {
  Failure failure;
  std::vector<std::string> closed;
  const auto a = failure.on_fail([&] { closed.push_back("a: " + failure.first()->message); });
  const auto b = failure.on_fail([&] { closed.push_back("b: " + failure.first()->message); });
  EXPECT_TRUE(closed.empty());
  failure.fail({"why"});
  failure.fail({"again"});
  EXPECT_EQ(closed, (std::vector<std::string>{"a: why", "b: why"}));
}

TEST(Failure, RunsACloserThatComesTooLateAtOnce) {
  Failure failure;
  failure.fail({"why"});
  bool closed = false;
  const auto guard = failure.on_fail([&] { closed = true; });
  EXPECT_TRUE(closed);
}

TEST(Failure, ACloserDoesNotRunOnceItsGuardIsGone) {
  Failure failure;
  std::string closed;
  const auto a = failure.on_fail([&] { closed += 'a'; });
  {
    const auto b = failure.on_fail([&] { closed += 'b'; });
    auto c = failure.on_fail([&] { closed += 'c'; });
    auto moved = std::move(c);
    Failure::Guard assigned;
    assigned = std::move(moved);
  }
  Failure::Guard d;
  d = failure.on_fail([&] { closed += 'd'; });
  failure.fail({"why"});
  EXPECT_EQ(closed, "ad");
}

// What a closer refers to can be destroyed together with its guard, even while other threads fail.
TEST(Failure, AGuardWaitsForItsCloser) {
  for (int round = 0; round < 500; ++round) {
    Failure failure;
    auto value = std::make_unique<std::atomic<int>>(0);
    auto guard = std::make_unique<Failure::Guard>(failure.on_fail([&] {
      for (int i = 0; i < 100; ++i) ++*value;
    }));
    std::thread failing([&] { failure.fail({"why"}); });
    if (round % 2) std::this_thread::yield();
    guard.reset();
    const int done = *value;
    EXPECT_TRUE(done == 0 || done == 100) << done;
    value.reset();
    failing.join();
  }
}

TEST(Failure, ACloserMayReportAnErrorItself) {
  Failure failure;
  const auto guard = failure.on_fail([&] { failure.fail({"of the closer"}); });
  failure.fail({"first"});
  EXPECT_ERROR(failure.first(), "first");
}

TEST(Failure, AwaitCauseReturnsWithTheFirstError) {
  Failure failure;
  failure.await_cause(std::chrono::milliseconds(1));
  EXPECT_FALSE(failure.failed()) << "it waits no longer than it was told to";
  std::thread failing([&] { failure.fail({"the cause"}); });
  failure.await_cause(std::chrono::hours(1));
  EXPECT_ERROR(failure.first(), "the cause");
  failing.join();
  failure.await_cause(std::chrono::hours(1));
}

TEST(Failure, OneOfManyThreadsIsTheFirst) {
  for (int round = 0; round < 100; ++round) {
    Failure failure;
    std::atomic<int> closed = 0;
    const auto guard = failure.on_fail([&] { ++closed; });
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        failure.fail({std::to_string(i)});
        const auto late = failure.on_fail([&] { ++closed; });
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(closed, 5);
    EXPECT_EQ(failure.first()->message.size(), 1u);
  }
}

}  // namespace
}  // namespace wherry
