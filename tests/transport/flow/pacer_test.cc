#include "transport/flow/pacer.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>

namespace wherry {
namespace {

using namespace std::chrono_literals;
using Clock = Pacer::Clock;

const Clock::time_point kStart{1h};

// How many bytes a lane that always has some hands over in `time`, if it wakes up `late` each time.
uint64_t sent_in(Pacer& pacer, Clock::time_point start, Clock::duration time, Clock::duration late) {
  std::mt19937 random(1);
  uint64_t sent = 0;
  for (auto now = start; now < start + time;) {
    const uint64_t bytes = 1 + random() % 100'000;
    if (pacer.try_take(bytes, now)) {
      sent += bytes;
    } else {
      now = std::max(now, pacer.due()) + late;
    }
  }
  return sent;
}

TEST(Pacer, WithoutARateNobodyWaits) {
  Pacer pacer(0, kStart);
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(pacer.try_take(1 << 30, kStart));
  EXPECT_EQ(pacer.debt(kStart), 0u);
}

TEST(Pacer, KeepsTheRate) {
  for (const auto late : {0us, 100us, 1000us}) {
    Pacer pacer(100e6, kStart);
    const auto sent = static_cast<double>(sent_in(pacer, kStart, 10s, late));
    EXPECT_NEAR(sent, 1000e6, 10e6) << late.count();
  }
}

TEST(Pacer, TimeInWhichNothingWasSentIsLost) {
  Pacer pacer(100e6, kStart);
  (void)sent_in(pacer, kStart, 1s, 0s);
  EXPECT_LE(sent_in(pacer, kStart + 1h, 1s, 0s), 101e6);
}

TEST(Pacer, ANewRateHoldsAtOnce) {
  Pacer pacer(100e6, kStart);
  ASSERT_TRUE(pacer.try_take(100'000'000, kStart));
  EXPECT_EQ(pacer.debt(kStart), 100'000'000u);
  EXPECT_EQ(pacer.due(), kStart + 1s);
  pacer.set_rate(10e6, kStart + 500ms);
  EXPECT_EQ(pacer.rate(), 10e6);
  EXPECT_EQ(pacer.debt(kStart + 500ms), 50'000'000u);
  EXPECT_EQ(pacer.due(), kStart + 5500ms);
  EXPECT_FALSE(pacer.try_take(1, kStart + 5s));
  EXPECT_TRUE(pacer.try_take(1, kStart + 5500ms));
}

TEST(Pacer, ThoseWhoWaitAreLetGoWhenTheRateGoes) {
  Pacer pacer(1);
  ASSERT_TRUE(pacer.take(1'000'000'000));
  std::thread waits([&] { EXPECT_TRUE(pacer.take(1)); });
  pacer.set_rate(0);
  waits.join();
}

TEST(Pacer, AndWhenItStops) {
  Pacer pacer(1);
  ASSERT_TRUE(pacer.take(1'000'000'000));
  std::thread waits([&] { EXPECT_FALSE(pacer.take(1)); });
  pacer.stop();
  waits.join();
}

}  // namespace
}  // namespace wherry
