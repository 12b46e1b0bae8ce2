#include "transport/flow/link_rate.h"

#include <gtest/gtest.h>

#include <chrono>

namespace wherry {
namespace {

using namespace std::chrono_literals;

// Two lanes over a network of that many bytes a second, of which always some wait.
class LinkRateTest : public testing::Test {
 protected:
  void send(double rate, std::chrono::milliseconds how_long, bool doubtful = false) {
    for (auto until = now_ + how_long; now_ < until; now_ += 1ms) {
      sent_ += static_cast<uint64_t>(rate * 1e-3);
      link_.note(0, sent_ + kWaiting, kWaiting, now_, doubtful);
    }
  }
  static constexpr uint64_t kWaiting = 100'000;
  LinkRate::Clock::time_point now_ = LinkRate::Clock::time_point{} + 1s;
  uint64_t sent_ = 0;
  LinkRate link_{2};
};

TEST_F(LinkRateTest, IsAGuessUntilItIsMeasured) {
  EXPECT_FALSE(link_.known());
  EXPECT_EQ(link_.rate(), 0.5e9);
  link_.expect(1e9);
  EXPECT_EQ(link_.rate(), 1e9);
  EXPECT_FALSE(link_.known());
}

TEST_F(LinkRateTest, ComesToWhatTheNetworkDrains) {
  send(1e8, 1s);
  EXPECT_TRUE(link_.known());
  EXPECT_NEAR(link_.rate(), 1e8, 1e6);
  send(2e8, 1s);
  EXPECT_NEAR(link_.rate(), 2e8, 2e6);
}

TEST_F(LinkRateTest, GrowsWhileNothingWaits) {
  send(1e8, 1s);
  for (int i = 0; i < 100; ++i) {
    now_ += 10ms;
    link_.note(0, sent_, 0, now_, false);
  }
  EXPECT_GT(link_.rate(), 1.5e8);
}

TEST_F(LinkRateTest, HardlyFallsWhereTheProcessorsMayBeSlow) {
  send(1e8, 1s);
  send(5e7, 100ms, true);
  EXPECT_GT(link_.rate(), 8e7);
  send(5e7, 100ms);
  EXPECT_LT(link_.rate(), 6e7);
}

TEST_F(LinkRateTest, ALanesPartIsItsPartOfWhatWasSent) {
  EXPECT_EQ(link_.part(1), 0.5) << "nothing was sent yet";
  link_.note(0, 3000, 0, now_, false);
  link_.note(1, 1000, 0, now_, false);
  EXPECT_EQ(link_.part(0), 0.75);
  EXPECT_EQ(link_.part(1), 0.25);
}

}  // namespace
}  // namespace wherry
