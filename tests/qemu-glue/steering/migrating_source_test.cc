#include "qemu-glue/steering/migrating_source.h"

#include <gtest/gtest.h>

#include "qemu-glue/convergence/qmp_source.h"
#include "tests/base/expect_error.h"
#include "tests/qemu-glue/convergence/alone.h"
#include "tests/qemu-glue/monitor/scripted_monitor.h"
#include "tests/qemu-glue/wherry_pair.h"
#include "tests/transport/support.h"

namespace wherry {
namespace {

// Two QEMUs that say what the test has them say, and a sender to which neither comes.
class MigratingSourceTest : public testing::Test {
 protected:
  MigratingSourceTest() {
    qemu_.guest_is({"running"});
    destination_.guest_is({"inmigrate"});
    EXPECT_TRUE(handover_.begin("to"));
  }
  ~MigratingSourceTest() override { (void)pair_.source().interrupt("the test is over"); }
  static GuestHandover::Side side(test::ScriptedMonitor& qemu) {
    return {qemu, [&qemu](std::chrono::milliseconds timeout) { return qemu.next_event(timeout); }};
  }
  std::unique_ptr<SourceSteering> begin() {
    Uri wish;
    wish.throttle_most = 0;
    auto begun = SourceSteering::begin(asked_, 0, {}, wish, pair_.source());
    EXPECT_TRUE(begun) << begun.error().message;
    return std::move(*begun);
  }
  Result<> wait(const std::vector<std::string>& statuses) {
    qemu_.migrates(statuses);
    return source_.wait();
  }

  const convergence::Alone alone_;
  const test::TempDir directory_;
  qemu::test::WherryPair pair_{directory_.at("from"), directory_.at("to"), qemu::test::Place::relay};
  test::ScriptedMonitor qemu_;
  convergence::QmpSource asked_{qemu_};
  test::ScriptedMonitor destination_;
  const std::unique_ptr<SourceSteering> steering_ = begin();
  GuestHandover handover_{side(qemu_), side(destination_)};
  std::atomic<bool> cancelled_ = false;
  std::atomic<bool> sent_ = false;
  std::string cancelled_because_;
  MigratingSource source_{qemu_,
                          *steering_,
                          handover_,
                          {.cancelled = cancelled_,
                           .sent = sent_,
                           .cancel =
                               [this](const std::string& why) {
                                 cancelled_because_ = why;
                                 cancelled_ = true;
                               },
                           .patience = std::chrono::milliseconds(1)}};
};

TEST_F(MigratingSourceTest, HasGivenTheGuestUpWhenItHasCompleted) {
  ASSERT_TRUE(wait({"setup", "device", "completed"}));
  EXPECT_TRUE(handover_.is_given_up());
  EXPECT_FALSE(qemu_.was_told("migrate_cancel"));
  EXPECT_FALSE(qemu_.was_told("migrate-continue"));
}

TEST_F(MigratingSourceTest, GoesOnWhereItWaitsToBeTold) {
  ASSERT_TRUE(wait({"pre-switchover", "completed"}));
  ASSERT_TRUE(qemu_.was_told("migrate-continue"));
}

TEST_F(MigratingSourceTest, IsToldOnceThatItIsCancelled) {
  cancelled_ = true;
  EXPECT_ERROR(wait({"pre-switchover", "cancelling", "cancelled"}), "source's QEMU", "cancelled");
  EXPECT_EQ(qemu_.count("migrate_cancel"), 1u);
  EXPECT_FALSE(qemu_.was_told("migrate-continue"));
  EXPECT_FALSE(source_.cancelled_by_others());
  EXPECT_FALSE(handover_.is_given_up());
}

TEST_F(MigratingSourceTest, KnowsThatSomebodyElseHasCancelledIt) {
  EXPECT_FALSE(wait({"cancelled"}));
  EXPECT_TRUE(source_.cancelled_by_others());
}

TEST_F(MigratingSourceTest, SaysWhyItFailed) {
  qemu_.answers["query-migrate"] = {{{"status", "failed"}, {"error-desc", "no room"}}};
  EXPECT_ERROR(source_.wait(), "source's QEMU", "failed", "no room");
}

TEST_F(MigratingSourceTest, IsNotWaitedForForEver) {
  sent_ = true;
  EXPECT_ERROR(wait({"active", "cancelling"}), "source's QEMU", "cancelling");
}

TEST_F(MigratingSourceTest, ABoundGuestEndsTheMigration) {
  qemu_.guest_is({"debug"});
  qemu_.events.push_back({"STOP", {}, 1});
  EXPECT_FALSE(wait({"setup", "cancelled"}));
  EXPECT_ERROR(cancelled_because_, "debugger");
  EXPECT_TRUE(qemu_.was_told("migrate_cancel"));
}

TEST_F(MigratingSourceTest, ByPostcopyTheGuestGoesOnThereAtOnce) {
  qemu_.guest_is({"finish-migrate"});
  destination_.guest_is({"paused"});
  destination_.events.push_back({"RESUME", {}, 2});
  ASSERT_TRUE(wait({"postcopy-active", "completed"}));
  EXPECT_EQ(destination_.count("cont"), 1u);
}

TEST_F(MigratingSourceTest, PostcopyThatFailsAfterThatLeavesTheGuestThere) {
  qemu_.guest_is({"finish-migrate"});
  destination_.guest_is({"running"});
  EXPECT_ERROR(wait({"postcopy-active", "failed"}), "to the destination by postcopy");
  EXPECT_TRUE(handover_.is_given_up());
}

TEST_F(MigratingSourceTest, PostcopyThatFailsBeforeThatLeavesItHere) {
  qemu_.guest_is({"finish-migrate"});
  destination_.refuses = {"query-status"};
  EXPECT_ERROR(wait({"postcopy-active", "failed"}), "query-status: refused");
  EXPECT_FALSE(handover_.is_given_up());
}

TEST_F(MigratingSourceTest, PostcopyThatIsCutLeavesItOnBothHosts) {
  EXPECT_ERROR(wait({"postcopy-paused"}), "migrate-recover");
  EXPECT_TRUE(handover_.is_given_up());
}

TEST_F(MigratingSourceTest, HasToAnswer) {
  qemu_.refuses = {"query-migrate"};
  EXPECT_ERROR(source_.wait(), "refused");
}

}  // namespace
}  // namespace wherry
