#include "transport/flow/goodput.h"

#include <gtest/gtest.h>

namespace wherry {
namespace {

using std::chrono::milliseconds;

// A simulated clock. The first call of add() starts it.
class GoodputTest : public testing::Test {
 protected:
  bool add_after(milliseconds passed, uint64_t bytes) { return goodput_.add(bytes, now_ += passed); }

  Goodput goodput_;
  Goodput::Clock::time_point now_ = Goodput::Clock::time_point(std::chrono::hours(1));
};

TEST_F(GoodputTest, IsNothingBeforeTheFirstWindowIsOver) {
  EXPECT_EQ(goodput_.bytes_per_second(), 0);
  EXPECT_FALSE(add_after(milliseconds(0), 1000));
  EXPECT_FALSE(add_after(milliseconds(99), 1000));
  EXPECT_EQ(goodput_.bytes_per_second(), 0);
}

TEST_F(GoodputTest, IsTheBytesOfAWindowOverItsTime) {
  add_after(milliseconds(0), 1000);
  add_after(milliseconds(50), 2000);
  EXPECT_TRUE(add_after(milliseconds(50), 3000));
  EXPECT_DOUBLE_EQ(goodput_.bytes_per_second(), 60000);
}

TEST_F(GoodputTest, AWindowWithoutBytesIsAsLongAsItWas) {
  add_after(milliseconds(0), 0);
  EXPECT_TRUE(add_after(milliseconds(500), 1000));
  EXPECT_DOUBLE_EQ(goodput_.bytes_per_second(), 2000);
}

TEST_F(GoodputTest, APauseDoesNotLowerIt) {
  add_after(milliseconds(0), 0);
  add_after(milliseconds(100), 100000);
  add_after(milliseconds(5000), 10);
  EXPECT_DOUBLE_EQ(goodput_.bytes_per_second(), 1000000);
}

TEST_F(GoodputTest, ForgetsTheBestAfterTenWindows) {
  add_after(milliseconds(0), 0);
  add_after(milliseconds(100), 100000);
  for (int i = 0; i < 9; ++i) {
    add_after(milliseconds(100), 100);
    EXPECT_DOUBLE_EQ(goodput_.bytes_per_second(), 1000000) << i;
  }
  add_after(milliseconds(100), 100);
  EXPECT_DOUBLE_EQ(goodput_.bytes_per_second(), 1000);
}

}  // namespace
}  // namespace wherry
