#include "qemu-glue/steering/guest_handover.h"

#include <gtest/gtest.h>

#include "tests/base/expect_error.h"
#include "tests/qemu-glue/monitor/scripted_monitor.h"
#include "tests/transport/support.h"

namespace wherry {
namespace {

class GuestHandoverTest : public testing::Test {
 protected:
  GuestHandoverTest() {
    source_.guest_is({"running"});
    destination_.guest_is({"inmigrate"});
  }
  static GuestHandover::Side side(test::ScriptedMonitor& qemu) {
    return {qemu, [&qemu](std::chrono::milliseconds timeout) { return qemu.next_event(timeout); }};
  }
  // The source's QEMU has an event, after which the guest is in that state.
  Result<> happens(const char* event, const char* status, double time_s = 0) {
    source_.guest_is({status});
    source_.events.push_back({event, {}, time_s});
    return handover_.watch({});
  }
  // How often the destination's QEMU was told to run the guest, once the source's has given it up.
  size_t resumed() {
    handover_.given_up(true);
    destination_.guest_is({"paused"});
    destination_.events.push_back({"RESUME", {}, 100.25});
    EXPECT_TRUE(handover_.resume_there());
    return destination_.count("cont");
  }

  test::ScriptedMonitor source_;
  test::ScriptedMonitor destination_;
  GuestHandover handover_{side(source_), side(destination_)};
};

TEST_F(GuestHandoverTest, AGuestThatQemuStoppedGoesOnThere) {
  ASSERT_TRUE(handover_.begin("to"));
  ASSERT_TRUE(happens("STOP", "finish-migrate", 100));
  EXPECT_FALSE(handover_.downtime_ms());
  EXPECT_EQ(resumed(), 1u);
  EXPECT_TRUE(handover_.ran_there());
  EXPECT_EQ(handover_.downtime_ms(), 250.0);
}

TEST_F(GuestHandoverTest, OneThatSomebodyStoppedDoesNot) {
  ASSERT_TRUE(handover_.begin("to"));
  ASSERT_TRUE(happens("STOP", "paused", 100));
  EXPECT_EQ(resumed(), 0u);
  EXPECT_FALSE(handover_.downtime_ms());
}

TEST_F(GuestHandoverTest, UnlessSomebodyHasLetItGoOn) {
  source_.guest_is({"paused"});
  ASSERT_TRUE(handover_.begin("to"));
  ASSERT_TRUE(happens("RESUME", "running"));
  EXPECT_EQ(resumed(), 1u);
}

TEST_F(GuestHandoverTest, OneThatRunsThereAlreadyIsNotTold) {
  ASSERT_TRUE(handover_.begin("to"));
  destination_.guest_is({"running"});
  ASSERT_TRUE(handover_.resume_there());
  EXPECT_FALSE(destination_.was_told("cont"));
  EXPECT_TRUE(handover_.ran_there());
}

TEST_F(GuestHandoverTest, OneThatTakesItsTimeIsWaitedFor) {
  ASSERT_TRUE(handover_.begin("to"));
  destination_.guest_is({"inmigrate", "inmigrate", "inmigrate", "running"});
  EXPECT_TRUE(handover_.resume_there());
  EXPECT_TRUE(handover_.ran_there());
}

TEST_F(GuestHandoverTest, OneThatDoesNotGoOnIsNotWaitedForForEver) {
  for (const char* status : {"inmigrate", "paused"}) {
    GuestHandover handover(side(source_), side(destination_));
    destination_.guest_is({"inmigrate"});
    ASSERT_TRUE(handover.begin("to"));
    destination_.guest_is({status});
    destination_.events.push_back({"MIGRATION", {}, 1});
    EXPECT_ERROR(handover.resume_there(), "(cont)");
    EXPECT_FALSE(handover.ran_there());
  }
}

TEST_F(GuestHandoverTest, AQemuThatAnswersWithSomethingElseIsAnError) {
  for (const nlohmann::json& answer :
       {nlohmann::json::array(), nlohmann::json("running"), nlohmann::json{{"status", 7}}}) {
    source_.answers["query-status"].assign(1, answer);
    EXPECT_ERROR(handover_.begin("to"), "query-status");
  }
}

TEST_F(GuestHandoverTest, NobodyTakesABoundGuestOver) {
  source_.guest_is({"debug"});
  EXPECT_ERROR(handover_.begin("to"), "debug");
  source_.guest_is({"running"});
  ASSERT_TRUE(handover_.begin("to"));
  EXPECT_ERROR(happens("STOP", "save-vm"), "snapshot");
}

TEST_F(GuestHandoverTest, TheDestinationHasToWaitForOne) {
  destination_.guest_is({"running"});
  EXPECT_ERROR(handover_.begin("qmp:to"), "qmp:to", "running");
}

TEST_F(GuestHandoverTest, AGuestThatWasStoppedFirstStaysSo) {
  ASSERT_TRUE(handover_.begin("to"));
  ASSERT_TRUE(handover_.stop());
  EXPECT_TRUE(source_.was_told("stop"));
  EXPECT_TRUE(destination_.was_told("stop"));
  EXPECT_EQ(resumed(), 0u);
}

TEST_F(GuestHandoverTest, AndGoesOnHereAfterAFailure) {
  ASSERT_TRUE(handover_.begin("to"));
  handover_.undo();
  EXPECT_FALSE(source_.was_told("cont"));
  ASSERT_TRUE(handover_.stop());
  handover_.undo();
  EXPECT_TRUE(source_.was_told("cont"));
}

TEST_F(GuestHandoverTest, PostcopyDoesNotStartAStoppedGuest) {
  source_.guest_is({"paused"});
  ASSERT_TRUE(handover_.begin("to"));
  ASSERT_TRUE(handover_.postcopy_begins());
  EXPECT_TRUE(destination_.was_told("stop"));
  EXPECT_FALSE(destination_.was_told("cont"));
}

TEST_F(GuestHandoverTest, AfterPostcopyASourceThatLetsTheGuestGoOnIsStopped) {
  source_.guest_is({"postmigrate"});
  handover_.keep_stopped_here();
  EXPECT_FALSE(source_.was_told("stop"));
  source_.guest_is({"running"});
  handover_.keep_stopped_here();
  EXPECT_TRUE(source_.was_told("stop"));
}

TEST_F(GuestHandoverTest, ItIsFoundThereIfThatQemuHasIt) {
  destination_.migrates({"failed"});
  EXPECT_FALSE(handover_.found_there());
  destination_.migrates({"completed"});
  destination_.guest_is({"paused"});
  EXPECT_FALSE(handover_.found_there()) << "the source's QEMU answers, and has it";
  destination_.guest_is({"running"});
  EXPECT_ERROR(handover_.found_there().value_or(""), "as well");
  source_.refuses = {"query-status"};
  EXPECT_ERROR(handover_.found_there().value_or(""), "does not answer");
}

}  // namespace
}  // namespace wherry
