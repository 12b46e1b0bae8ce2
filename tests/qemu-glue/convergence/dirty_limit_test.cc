// What QEMU is told, and the sum. A real limit is for tests/e2e/test_convergence.py.
#include "qemu-glue/convergence/dirty_limit.h"

#include <gtest/gtest.h>

#include "tests/base/expect_error.h"
#include "tests/qemu-glue/convergence/fake_qemu.h"

namespace wherry::convergence {
namespace {

using nlohmann::json;

class DirtyLimitTest : public testing::Test {
 protected:
  void take() {
    qemu_.rates = {100, 300, 0};
    auto taken = DirtyLimit::take(qemu_);
    ASSERT_TRUE(taken) << taken.error().message;
    throttle_ = std::move(*taken);
  }

  FakeQemu qemu_;
  std::unique_ptr<Throttle> throttle_;
};

TEST_F(DirtyLimitTest, WithoutTheDirtyRingThereIsNone) {
  EXPECT_ERROR(DirtyLimit::take(qemu_), "dirty-ring-size");
}

TEST_F(DirtyLimitTest, LimitsNothingUntilItIsTold) {
  take();
  EXPECT_GT(qemu_.limit, 1'000'000u) << "but has rates measured";
  ASSERT_TRUE(throttle_->throttle(0));
  EXPECT_GT(qemu_.limit, 1'000'000u);
}

TEST_F(DirtyLimitTest, IsOfWhatTheyWroteWithoutIt) {
  take();
  ASSERT_TRUE(throttle_->throttle(0.25));
  EXPECT_EQ(qemu_.limit, 200u) << "100 + 200 of 100 + 300";
  EXPECT_EQ(throttle_->holds({}), 0.25);
  qemu_.rates = {100, 200, 0};
  ASSERT_TRUE(throttle_->throttle(0.5));
  EXPECT_EQ(qemu_.limit, 100u);
  ASSERT_TRUE(throttle_->throttle(0));
  EXPECT_GT(qemu_.limit, 1'000'000u);
  qemu_.rates = {0, 80, 0};
  ASSERT_TRUE(throttle_->throttle(0.5));
  EXPECT_EQ(qemu_.limit, 40u);
}

TEST_F(DirtyLimitTest, ItsEndIsTheLimits) {
  take();
  ASSERT_TRUE(throttle_->throttle(0.9));
  throttle_.reset();
  EXPECT_FALSE(qemu_.limit);
}

TEST_F(DirtyLimitTest, ARefusalIsAnError) {
  take();
  for (const char* command : {"query-vcpu-dirty-limit", "set-vcpu-dirty-limit"}) {
    qemu_.refuses = {command};
    EXPECT_FALSE(throttle_->throttle(0.5)) << command;
    EXPECT_EQ(throttle_->holds({}), 0);
  }
}

TEST(DirtyLimitFor, OnlyThoseThatWriteMostAreLimited) {
  EXPECT_EQ(limit_for({400}, 100), 100u);
  EXPECT_EQ(limit_for({100, 100, 100, 100}, 200), 50u);
  EXPECT_EQ(limit_for({10, 20, 1000}, 130), 100u);
  EXPECT_EQ(limit_for({0, 0, 0, 90}, 9), 9u);
  EXPECT_EQ(limit_for({40}, 0.4), 1u) << "0 would be no limit";
  EXPECT_EQ(limit_for({0, 0}, 0), 1u);
  EXPECT_EQ(limit_for({}, 0), 1u);
}

}  // namespace
}  // namespace wherry::convergence
