#include "qemu-glue/convergence/qmp_source.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/base/expect_error.h"
#include "tests/qemu-glue/convergence/fake_qemu.h"

namespace wherry::convergence {
namespace {

class QmpSourceTest : public testing::Test {
 protected:
  FakeQemu qemu_;
  QmpSource source_{qemu_};
};

TEST_F(QmpSourceTest, HasTheFiguresOfQueryMigrate) {
  qemu_.migration = {{"status", "active"}, {"ram", {{"remaining", 7}}}};
  const auto figures = source_.figures();
  ASSERT_TRUE(figures) << figures.error().message;
  EXPECT_EQ(figures->phase, qemu::MigrationPhase::active);
  EXPECT_EQ(figures->remaining, 7);
}

TEST_F(QmpSourceTest, SetsOnlyTheLimitsThatAreGiven) {
  auto limits = source_.limits();
  ASSERT_TRUE(limits) << limits.error().message;
  EXPECT_EQ(limits->downtime_ms, 500u);
  EXPECT_FALSE(limits->bandwidth) << "this QEMU has none";
  auto expected = qemu_.parameters;
  ASSERT_TRUE(source_.set_limits({.downtime_ms = 20, .bandwidth = {}}));
  expected["downtime-limit"] = 20;
  EXPECT_EQ(qemu_.parameters, expected);
  ASSERT_TRUE(source_.set_limits({.downtime_ms = {}, .bandwidth = 1000}));
  expected["avail-switchover-bandwidth"] = 1000;
  EXPECT_EQ(qemu_.parameters, expected);
  limits = source_.limits();
  ASSERT_TRUE(limits) << limits.error().message;
  EXPECT_EQ(limits->downtime_ms, 20u);
  EXPECT_EQ(limits->bandwidth, 1000u);
}

TEST_F(QmpSourceTest, WhatQemuRefusesIsAnError) {
  for (const char* command : {"query-migrate", "query-migrate-parameters", "migrate-set-parameters",
                              "migrate-start-postcopy", "query-cpus-fast"})
    qemu_.refuses.insert(command);
  EXPECT_FALSE(source_.figures());
  EXPECT_FALSE(source_.limits());
  EXPECT_FALSE(source_.set_limits({.downtime_ms = 1, .bandwidth = {}}));
  EXPECT_FALSE(source_.start_postcopy());
  EXPECT_ERROR(source_.vcpu_threads(), "query-cpus-fast", "refused");
}

TEST_F(QmpSourceTest, ThreadsAreThoseThatQemuNames) {
  qemu_.vcpus = {{{"thread-id", 7}}, {{"thread-id", "8"}}, {{"thread-id", 0}}};
  const auto threads = source_.vcpu_threads();
  ASSERT_TRUE(threads) << threads.error().message;
  EXPECT_EQ(*threads, std::vector<pid_t>{7});
}

TEST_F(QmpSourceTest, HearsOfAStopUntilNobodyWantsToKnow) {
  double ago = 0;
  source_.on_stop([&ago](double heard) { ago = heard; });
  qemu_.stopped(0.5);
  EXPECT_EQ(ago, 0.5);
  source_.on_stop({});
  qemu_.stopped(0.7);
  EXPECT_EQ(ago, 0.5);
}

TEST_F(QmpSourceTest, BeginsPostcopy) {
  ASSERT_TRUE(source_.start_postcopy());
  EXPECT_EQ(std::count(qemu_.commands.begin(), qemu_.commands.end(), "migrate-start-postcopy"), 1);
}

}  // namespace
}  // namespace wherry::convergence
