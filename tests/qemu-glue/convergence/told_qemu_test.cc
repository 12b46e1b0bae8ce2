#include "qemu-glue/convergence/told_qemu.h"

#include <gtest/gtest.h>

#include "qemu-glue/convergence/qmp_source.h"
#include "tests/qemu-glue/convergence/fake_qemu.h"

namespace wherry::convergence {
namespace {

class ToldQemuTest : public testing::Test {
 protected:
  void begin() {
    told_.reset();
    told_.emplace(source_, limits_in(qemu_.parameters));
    ASSERT_TRUE(told_->go_on());
  }
  void take_rate() { qemu_.parameters["avail-switchover-bandwidth"] = 0; }
  double limit() const { return qemu_.parameters["downtime-limit"]; }
  double rate() const { return qemu_.parameters["avail-switchover-bandwidth"]; }

  FakeQemu qemu_;
  QmpSource source_{qemu_};
  std::optional<ToldQemu> told_;
};

TEST_F(ToldQemuTest, ItsEndSetsEverythingBack) {
  take_rate();
  const auto before = qemu_.parameters;
  begin();
  EXPECT_EQ(limit(), 1) << "next to nothing may remain";
  ASSERT_TRUE(told_->tell({.may_remain = 30e6, .time_ms = 300, .landing = 100e6}));
  EXPECT_NE(qemu_.parameters, before);
  told_.reset();
  EXPECT_EQ(qemu_.parameters, before);
}

TEST_F(ToldQemuTest, ANewQemuIsToldTheRate) {
  take_rate();
  begin();
  ASSERT_TRUE(told_->tell({.may_remain = 30e6, .time_ms = 300, .landing = 100e6}));
  EXPECT_EQ(limit(), 300);
  EXPECT_EQ(rate(), 100e6);
}

TEST_F(ToldQemuTest, AnOldOneHasALimitForTheFastestRateOfTheLastSecond) {
  begin();
  told_->note_rate(1, 400e6);
  told_->note_rate(1.5, 50e6);
  ASSERT_TRUE(told_->tell({.may_remain = 40e6, .time_ms = 300, .landing = 100e6}));
  EXPECT_EQ(limit(), 100);
  told_->note_rate(2.2, 50e6);
  ASSERT_TRUE(told_->tell({.may_remain = 40e6, .time_ms = 300, .landing = 100e6}));
  EXPECT_EQ(limit(), 400) << "at which pages land, for QEMU measured less";
  EXPECT_FALSE(qemu_.parameters.contains("avail-switchover-bandwidth"));
}

TEST_F(ToldQemuTest, BeforeAnyRateIsMeasuredNextToNothingMayRemain) {
  begin();
  told_->note_rate(1, 0);
  ASSERT_TRUE(told_->tell({.may_remain = 40e6, .time_ms = 300, .landing = 100e6}));
  EXPECT_EQ(limit(), 1);
}

TEST_F(ToldQemuTest, QemuAlwaysHasSomethingToLookFor) {
  take_rate();
  begin();
  ASSERT_TRUE(told_->tell({.may_remain = 0, .time_ms = 290, .landing = 100e6}));
  EXPECT_GT(rate() / 1000 * limit(), 4000) << "QEMU computes what may remain like that";
  ASSERT_TRUE(told_->tell({.may_remain = 0, .time_ms = -10, .landing = 100e6}));
  EXPECT_EQ(limit(), 1);
  EXPECT_GT(rate() / 1000 * limit(), 4000);
}

TEST_F(ToldQemuTest, WhatChangesLittleIsNotToldAgain) {
  for (const bool new_qemu : {false, true}) {
    if (new_qemu) take_rate();
    begin();
    told_->note_rate(1, 50e6);
    ASSERT_TRUE(told_->tell({.may_remain = 40e6, .time_ms = 300, .landing = 100e6}));
    const auto told = qemu_.parameters;
    const size_t commands = qemu_.commands.size();
    ASSERT_TRUE(told_->tell({.may_remain = 40.4e6, .time_ms = 301, .landing = 100e6}));
    EXPECT_EQ(qemu_.commands.size(), commands);
    ASSERT_TRUE(told_->tell({.may_remain = 44e6, .time_ms = 301, .landing = 100e6}));
    EXPECT_NE(qemu_.parameters, told);
    told_.reset();
  }
}

TEST_F(ToldQemuTest, WhatWasRefusedIsToldAgain) {
  begin();
  told_->note_rate(1, 50e6);
  qemu_.refuses = {"migrate-set-parameters"};
  EXPECT_FALSE(told_->tell({.may_remain = 40e6, .time_ms = 300, .landing = 100e6}));
  qemu_.refuses = {};
  ASSERT_TRUE(told_->tell({.may_remain = 40e6, .time_ms = 300, .landing = 100e6}));
  EXPECT_EQ(limit(), 400);
}

TEST_F(ToldQemuTest, OnceLetGoNothingElseIsTold) {
  for (const bool new_qemu : {false, true}) {
    if (new_qemu) take_rate();
    const auto before = qemu_.parameters;
    begin();
    told_->note_rate(1, 50e6);
    ASSERT_TRUE(told_->tell({.may_remain = 40e6, .time_ms = 300, .landing = 100e6}));
    ASSERT_TRUE(told_->let_go());
    ASSERT_TRUE(told_->tell({.may_remain = 10e6, .time_ms = 300, .landing = 100e6}));
    EXPECT_EQ(limit(), 2'000'000);
    if (new_qemu) {
      EXPECT_EQ(rate(), 0) << "QEMU measures it";
    }
    told_.reset();
    EXPECT_EQ(qemu_.parameters, before);
  }
}

}  // namespace
}  // namespace wherry::convergence
