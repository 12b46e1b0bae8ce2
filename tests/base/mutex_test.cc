#include "base/mutex.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/transport/support.h"

namespace wherry {
namespace {

struct Account {
  Mutex mutex;
  Condition paid_in;
  int balance WHERRY_GUARDED_BY(mutex) = 0;
};

// Whether another thread could take it now.
bool is_free(Mutex& mutex) {
  bool taken = false;
  std::thread([&] {
    if (!mutex.try_lock()) return;
    taken = true;
    mutex.unlock();
  }).join();
  return taken;
}

TEST(Mutex, IsHeldUntilTheEndOfTheScope) {
  Mutex mutex;
  {
    Lock lock(mutex);
    EXPECT_FALSE(is_free(mutex));
    lock.unlock();
    EXPECT_TRUE(is_free(mutex));
    lock.lock();
    EXPECT_FALSE(is_free(mutex));
  }
  EXPECT_TRUE(is_free(mutex));
}

TEST(Mutex, ALockTakesOverWhatIsHeld) {
  Mutex mutex;
  if (!mutex.try_lock()) FAIL();
  {
    Lock lock(mutex, std::adopt_lock);
    EXPECT_FALSE(is_free(mutex));
  }
  EXPECT_TRUE(is_free(mutex));
}

TEST(Condition, AWaitGivesTheMutexBackMeanwhile) {
  Account account;
  std::thread pays([&] {
    Lock lock(account.mutex);
    account.balance = 1;
    account.paid_in.notify_one();
  });
  {
    Lock lock(account.mutex);
    while (account.balance == 0) account.paid_in.wait(account.mutex);
    EXPECT_FALSE(is_free(account.mutex));
  }
  EXPECT_TRUE(is_free(account.mutex));
  pays.join();
}

TEST(Condition, AWaitEndsAtItsTime) {
  Account account;
  Lock lock(account.mutex);
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(1);
  while (account.paid_in.wait_until(account.mutex, until)) continue;
  EXPECT_GE(std::chrono::steady_clock::now(), until);
  EXPECT_FALSE(is_free(account.mutex));
}

}  // namespace
}  // namespace wherry
