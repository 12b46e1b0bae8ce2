#include "qemu-glue/domain/eta.h"

#include <gtest/gtest.h>

namespace wherry::domain {
namespace {

TEST(Eta, CountsDownWithTheClock) {
  Eta eta;
  EXPECT_EQ(eta.update(100, 20), 20);
  EXPECT_EQ(eta.update(101, 19), 19);
  EXPECT_EQ(eta.update(104.5, 15.5), 15.5);
}

TEST(Eta, IsNotKnownBeforeTheFirstEstimate) {
  Eta eta;
  EXPECT_EQ(eta.update(0, std::nullopt), std::nullopt);
  EXPECT_EQ(eta.update(1, 8), 8);
}

TEST(Eta, ApproachesAnEarlierEnd) {
  Eta eta;
  eta.update(0, 100);
  // Half of the way in kFall seconds, however often update() is called.
  for (int i = 1; i <= 10; ++i) eta.update(i * Eta::kFall / 10, 50 - i * Eta::kFall / 10);
  EXPECT_NEAR(*eta.update(Eta::kFall, 50 - Eta::kFall), 75 - Eta::kFall, 1e-9);
}

TEST(Eta, DoesNotGrowForOneBadEstimate) {
  Eta eta;
  eta.update(0, 10);
  EXPECT_EQ(eta.update(1, 60), 9);
  EXPECT_EQ(eta.update(2, std::nullopt), 8);
  EXPECT_EQ(eta.update(3, 7), 7);
  // kPatience starts again.
  EXPECT_EQ(eta.update(4, 60), 6);
  EXPECT_EQ(eta.update(6, 60), 4);
}

TEST(Eta, GrowsToTheLeastOfLastingLaterEstimates) {
  Eta eta;
  eta.update(0, 10);
  EXPECT_EQ(eta.update(1, 60), 9);
  EXPECT_EQ(eta.update(2, 30), 8);
  EXPECT_EQ(eta.update(1 + Eta::kPatience, 60), 28);
}

TEST(Eta, GoesWhenThereIsNoEstimateForLong) {
  Eta eta;
  eta.update(0, 10);
  EXPECT_EQ(eta.update(1, std::nullopt), 9);
  EXPECT_EQ(eta.update(1 + Eta::kPatience, std::nullopt), std::nullopt);
}

TEST(Eta, StaysAtZeroWhenItsTimeIsOver) {
  Eta eta;
  eta.update(0, 1);
  EXPECT_EQ(eta.update(2, 5), 0);
}

}  // namespace
}  // namespace wherry::domain
