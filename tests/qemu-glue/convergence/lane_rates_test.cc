#include "qemu-glue/convergence/lane_rates.h"

#include <gtest/gtest.h>

namespace wherry::convergence {
namespace {

constexpr double kMoment = 0.01;  // seconds, much less than a mean's window

TEST(LaneRates, TheFirstLookIsTaken) {
  LaneRates rates;
  const auto first = rates.look(5, {.landing = 100e6, .goodput = 400e6, .link = 200e6});
  EXPECT_EQ(first.landing, 100e6);
  EXPECT_EQ(first.usually, 100e6);
  EXPECT_EQ(first.link, 200e6);
}

TEST(LaneRates, NothingCountsThatWasNotSeen) {
  LaneRates rates;
  const auto first = rates.look(0, {.landing = 100e6, .goodput = 30e6, .link = 200e6});
  EXPECT_EQ(first.landing, 30e6);
  EXPECT_EQ(first.usually, 30e6);
  EXPECT_EQ(first.link, 200e6);
  const auto later = rates.look(1, {.landing = 100e6, .goodput = 0, .link = 200e6});
  EXPECT_EQ(later.landing, 30e6) << "it was seen once";
}

TEST(LaneRates, AMomentsRateDoesNotCount) {
  LaneRates rates;
  rates.look(0, {.landing = 100e6, .goodput = 1e9, .link = 200e6});
  const auto risen = rates.look(kMoment, {.landing = 900e6, .goodput = 1e9, .link = 900e6});
  EXPECT_LT(risen.landing, 150e6);
  EXPECT_LT(risen.usually, risen.landing) << "the mean of a longer time";
  EXPECT_LT(risen.link, 250e6);
  const auto held = rates.look(3, {.landing = 900e6, .goodput = 1e9, .link = 900e6});
  EXPECT_GT(held.landing, 890e6);
  EXPECT_GT(held.usually, 800e6);
  EXPECT_LT(held.usually, held.landing);
  EXPECT_GT(held.link, 890e6);
  const auto fallen = rates.look(3 + kMoment, {.landing = 10e6, .goodput = 1e9, .link = 20e6});
  EXPECT_EQ(fallen.landing, 10e6) << "a fall counts at once";
  EXPECT_EQ(fallen.link, 20e6);
  EXPECT_GT(fallen.usually, 800e6) << "but not for what is usual";
}

TEST(LaneRates, AreSteadySomeTimeAfterPagesHaveLanded) {
  LaneRates rates;
  rates.look(0, {.landing = 100e6, .goodput = 1423});
  EXPECT_FALSE(rates.pages_land()) << "a stream's header";
  EXPECT_FALSE(rates.are_steady(10));
  rates.look(10, {.landing = 100e6, .goodput = 50e6});
  EXPECT_TRUE(rates.pages_land());
  EXPECT_FALSE(rates.are_steady(10.2));
  EXPECT_TRUE(rates.are_steady(10.4));
  rates.look(11, {.landing = 100e6, .goodput = 0});
  EXPECT_TRUE(rates.are_steady(11));
}

}  // namespace
}  // namespace wherry::convergence
