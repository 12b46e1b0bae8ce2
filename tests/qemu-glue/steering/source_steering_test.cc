#include "qemu-glue/steering/source_steering.h"

#include <gtest/gtest.h>

#include "qemu-glue/convergence/qmp_source.h"
#include "tests/base/expect_error.h"
#include "tests/qemu-glue/convergence/alone.h"
#include "tests/qemu-glue/monitor/scripted_monitor.h"
#include "tests/qemu-glue/wherry_pair.h"
#include "tests/transport/support.h"

namespace wherry {
namespace {

// A sender to which no QEMU has come, and a monitor that says what it would.
class SourceSteeringTest : public testing::Test {
 protected:
  SourceSteeringTest() {
    wish_.throttle_most = 0;
    qemu_.answers["query-migrate-parameters"] = {{{"downtime-limit", 500}}};
  }
  ~SourceSteeringTest() override { (void)pair_.source().interrupt("the test is over"); }
  std::unique_ptr<SourceSteering> begin() {
    auto begun = SourceSteering::begin(source_, 0, {}, wish_, pair_.source());
    EXPECT_TRUE(begun) << begun.error().message;
    return begun ? std::move(*begun) : nullptr;
  }
  // The last that QEMU was told.
  double limit() const {
    EXPECT_EQ(qemu_.told.back().name, "migrate-set-parameters");
    return qemu_.told.back().arguments.value("downtime-limit", 0.0);
  }

  const convergence::Alone alone_;
  const test::TempDir directory_;
  test::ScriptedMonitor qemu_;
  convergence::QmpSource source_{qemu_};
  Uri wish_;
  qemu::test::WherryPair pair_{directory_.at("from"), directory_.at("to"), qemu::test::Place::relay};
};

TEST_F(SourceSteeringTest, WhatQemuSaysIsInTheReport) {
  const auto steering = begin();
  qemu::MigrationFigures figures;
  figures.phase = qemu::MigrationPhase::active;
  figures.passes = 2;
  figures.remaining = 12345;
  figures.rate = 1e8;
  const auto ask_in = steering->steer(figures);
  ASSERT_TRUE(ask_in) << ask_in.error().message;
  EXPECT_LE(*ask_in, std::chrono::milliseconds(100));
  EXPECT_EQ(pair_.sender().remaining, 12345u);
}

TEST_F(SourceSteeringTest, QemusLimitsAreSetBack) {
  auto steering = begin();
  EXPECT_EQ(limit(), 1) << "nothing may remain yet";
  steering.reset();
  EXPECT_EQ(limit(), 500);
}

TEST_F(SourceSteeringTest, AQemuThatDoesNotAnswerCannotBeSteered) {
  qemu_.refuses = {"query-migrate-parameters"};
  EXPECT_ERROR(SourceSteering::begin(source_, 0, {}, wish_, pair_.source()), "refused");
}

}  // namespace
}  // namespace wherry
