// What is set and set back. How QEMU acts on that is for tests/e2e/test_convergence.py.
#include "qemu-glue/convergence/auto_converge.h"

#include <gtest/gtest.h>

#include "tests/base/expect_error.h"
#include "tests/qemu-glue/convergence/fake_qemu.h"

namespace wherry::convergence {
namespace {

using nlohmann::json;

class AutoConvergeTest : public testing::Test {
 protected:
  std::unique_ptr<Throttle> take() {
    auto taken = AutoConverge::take(qemu_);
    EXPECT_TRUE(taken) << taken.error().message;
    return taken ? std::move(*taken) : nullptr;
  }
  int parameter(const char* name) { return qemu_.parameters[name]; }

  FakeQemu qemu_;
  const json before_ = qemu_.parameters;
};

TEST_F(AutoConvergeTest, IsOnAndDoesNextToNothingUntilItIsTold) {
  const auto throttle = take();
  EXPECT_TRUE(qemu_.auto_converge);
  EXPECT_EQ(parameter("cpu-throttle-initial"), 1);
  EXPECT_EQ(parameter("max-cpu-throttle"), 1);
  EXPECT_EQ(parameter("throttle-trigger-threshold"), 100);
  const size_t commands = qemu_.commands.size();
  ASSERT_TRUE(throttle->throttle(0));
  EXPECT_EQ(qemu_.commands.size(), commands);
}

TEST_F(AutoConvergeTest, GoesUpAndDownToWhatIsWished) {
  const auto throttle = take();
  for (const auto& [part, percent] : {std::pair(0.4, 40), {0.99, 99}, {1.0, 99}, {0.127, 13}, {0.0, 1}}) {
    ASSERT_TRUE(throttle->throttle(part));
    EXPECT_EQ(parameter("cpu-throttle-initial"), percent);
    EXPECT_EQ(parameter("max-cpu-throttle"), percent);
    EXPECT_EQ(parameter("cpu-throttle-increment"), 99);
    EXPECT_EQ(parameter("throttle-trigger-threshold"), 1);
    EXPECT_EQ(qemu_.parameters["cpu-throttle-tailslow"], false);
  }
}

TEST_F(AutoConvergeTest, WhatHoldsIsWhatQemuSays) {
  const auto throttle = take();
  ASSERT_TRUE(throttle->throttle(0.5));
  EXPECT_EQ(throttle->holds(qemu::figures_of({{"status", "active"}})), 0);
  EXPECT_EQ(throttle->holds(qemu::figures_of({{"cpu-throttle-percentage", 50}})), 0.5);
  EXPECT_EQ(throttle->holds(qemu::figures_of({{"cpu-throttle-percentage", "50"}})), 0);
}

TEST_F(AutoConvergeTest, AllIsPutBackOnceQemuHasEndedTheMigration) {
  {
    const auto throttle = take();
    ASSERT_TRUE(throttle->throttle(0.5));
    qemu_.migrating = 3;
  }
  EXPECT_FALSE(qemu_.auto_converge);
  EXPECT_EQ(qemu_.parameters, before_);
}

TEST_F(AutoConvergeTest, AUsersCapabilityStaysOn) {
  qemu_.auto_converge = true;
  ASSERT_TRUE(take()->throttle(0.5));
  EXPECT_TRUE(qemu_.auto_converge);
  EXPECT_EQ(qemu_.parameters, before_);
}

TEST_F(AutoConvergeTest, WhatIsRefusedIsAnErrorAndLeavesNothing) {
  for (const char* command : {"query-migrate-capabilities", "query-migrate-parameters",
                              "migrate-set-parameters", "migrate-set-capabilities"}) {
    qemu_.refuses = {command};
    EXPECT_ERROR(AutoConverge::take(qemu_), command);
    EXPECT_FALSE(qemu_.auto_converge);
    EXPECT_EQ(qemu_.parameters, before_);
  }
  qemu_.refuses = {};
  qemu_.parameters.erase("max-cpu-throttle");
  EXPECT_FALSE(AutoConverge::take(qemu_));
}

TEST_F(AutoConvergeTest, WhatAKilledOneLeftGoesBackToQemusDefaults) {
  auto killed = take();
  ASSERT_TRUE(killed->throttle(0.7));
  FakeQemu after = qemu_;
  AutoConverge::release_abandoned(after);
  EXPECT_FALSE(after.auto_converge);
  EXPECT_EQ(after.parameters["max-cpu-throttle"], 99);
  EXPECT_EQ(after.parameters["cpu-throttle-initial"], 20);
  EXPECT_EQ(after.parameters["cpu-throttle-increment"], 10);
  EXPECT_EQ(after.parameters["throttle-trigger-threshold"], 50);
  EXPECT_EQ(after.parameters["max-bandwidth"], 7);
}

TEST_F(AutoConvergeTest, ButNotWhatAnybodyElseHasSet) {
  qemu_.auto_converge = true;
  AutoConverge::release_abandoned(qemu_);
  qemu_.parameters = {{"downtime-limit", 1}};  // as libvirt's
  AutoConverge::release_abandoned(qemu_);
  EXPECT_TRUE(qemu_.auto_converge);
  EXPECT_EQ(qemu_.parameters, json({{"downtime-limit", 1}}));
}

}  // namespace
}  // namespace wherry::convergence
