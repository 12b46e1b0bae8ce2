#include "qemu-glue/convergence/switchover_cost.h"

#include <gtest/gtest.h>

namespace wherry::convergence {
namespace {

using std::chrono::milliseconds;

TEST(SwitchoverCost, GrowsWithTheRoundTrip) {
  const SwitchoverCost near = switchover_cost({}, milliseconds(0));
  const SwitchoverCost far = switchover_cost({}, milliseconds(10));
  EXPECT_NEAR(far.most - near.most, 0.03, 1e-9);
  EXPECT_NEAR(far.usual.placed - near.usual.placed, 0.01, 1e-9);
  EXPECT_EQ(far.usual.pages, near.usual.pages);
  EXPECT_EQ(far.usual.start, near.usual.start);
  EXPECT_GT(near.most, near.usual.total());
}

TEST(SwitchoverCost, HasWhatTheDoorAdds) {
  const SwitchoverCost without = switchover_cost({}, milliseconds(10));
  const Door door{
      .takes = {.pages = 0.002, .placed = 0.001, .start = 0.008}, .round_trips = 2, .zeros = 0.003};
  const SwitchoverCost with = switchover_cost(door, milliseconds(10));
  EXPECT_NEAR(with.most - without.most, 0.011 + 0.02, 1e-9);
  EXPECT_NEAR(with.usual.pages - without.usual.pages, 0.002, 1e-9);
  EXPECT_NEAR(with.usual.placed - without.usual.placed, 0.001, 1e-9);
  EXPECT_EQ(without.zeros, 0);
  EXPECT_EQ(with.zeros, 0.003);
  EXPECT_NEAR(with.usual.start - without.usual.start, 0.008 + 0.02, 1e-9);
}

}  // namespace
}  // namespace wherry::convergence
