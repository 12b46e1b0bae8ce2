#include "qemu-glue/convergence/vcpu_account.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace wherry::convergence {
namespace {

// A throttle with which the busiest vCPU always takes a quarter of what it has.
class Quarter final : public Throttle {
 public:
  Result<> throttle(double) override { return {}; }
  double holds(const qemu::MigrationFigures&) const override { return 0; }
  double taken(double) const override { return 0.25; }
  void let_stop() override {}
};

TEST(VcpuAccount, UnseenVcpusRunWheneverTheThrottleLetsThem) {
  VcpuAccount account;
  EXPECT_EQ(account.ran(2, nullptr).all, 2);
  account.throttled(2, 0.25);
  EXPECT_EQ(account.ran(6, nullptr).all, 5);
  account.throttled(6, 0.5);
  const VcpuAccount::Ran ran = account.ran(8, nullptr);
  EXPECT_EQ(ran.all, 6);
  EXPECT_EQ(ran.used, 6);
}

TEST(VcpuAccount, KnowsWhatTheThrottleTook) {
  VcpuAccount account;
  EXPECT_FALSE(account.part());
  EXPECT_FALSE(account.most());
  EXPECT_FALSE(account.average(1));
  account.throttled(2, 0.5);
  EXPECT_EQ(account.average(2), 0);
  account.throttled(6, 0.25);
  EXPECT_EQ(account.part(), 0.25);
  EXPECT_EQ(account.most(), 0.5);
  EXPECT_DOUBLE_EQ(*account.average(6), 2.0 / 6);
  EXPECT_DOUBLE_EQ(*account.average(10), 3.0 / 10);
}

TEST(VcpuAccount, OfSeenVcpusTheThrottleTellsWhatTheyUse) {
  auto time = VcpuTime::of(::getpid(), {::gettid()});
  ASSERT_TRUE(time);
  const double before = time->ran().all;
  VcpuAccount account(std::move(time));
  const Quarter throttle;
  EXPECT_EQ(account.ran(1, &throttle).used, 0.25);
  EXPECT_EQ(account.ran(1, &throttle).used, 0.25) << "no time has passed";
  const VcpuAccount::Ran ran = account.ran(3, &throttle);
  EXPECT_EQ(ran.used, 0.75);
  EXPECT_GE(ran.all, before);
  EXPECT_EQ(account.ran(9, nullptr).used, 0.75) << "nothing slows it";
}

}  // namespace
}  // namespace wherry::convergence
