#include "qemu-glue/steering/source_word.h"

#include <gtest/gtest.h>

#include "tests/base/expect_error.h"
#include "tests/qemu-glue/steering/scripted_access.h"

namespace wherry {
namespace {

class SourceWordTest : public testing::Test {
 protected:
  SourceWordTest() {
    qemu_.guest_is({"running"});
    report_.ended = Ended{Outcome::unknown, "nobody knows"};
  }
  // What the report says after QEMU was asked.
  Outcome ask(bool speaks_for_both, bool cut_off = false) {
    test::ScriptedAccess access(qemu_, {.speaks_for_both = speaks_for_both});
    auto word = SourceWord::ask(access);
    EXPECT_TRUE(word) << word.error().message;
    word->complete(report_, cut_off);
    return report_.ended->outcome;
  }
  void waits_for_word(bool whether) {
    qemu_.answers["query-migrate-capabilities"] = {
        nlohmann::json::array({{{"capability", "return-path"}, {"state", whether}}})};
  }

  test::ScriptedMonitor qemu_;
  Report report_;
};

TEST_F(SourceWordTest, IsThatOfALastState) {
  qemu_.migrates({"active", "device", "completed"});
  EXPECT_EQ(ask(true), Outcome::completed);
  EXPECT_EQ(qemu_.count("query-migrate"), 3u);
  EXPECT_EQ(report_.ended->detail, "");
}

TEST_F(SourceWordTest, ThatItHasCompletedCountsIfItHasWaitedForTheDestination) {
  qemu_.migrates({"completed"});
  waits_for_word(false);
  EXPECT_EQ(ask(false), Outcome::unknown);
  waits_for_word(true);
  EXPECT_EQ(ask(false), Outcome::completed);
}

TEST_F(SourceWordTest, ThatItHasFailedCountsIfBothHostsHaveAgreed) {
  qemu_.answers["query-migrate"] = {{{"status", "failed"}, {"error-desc", "no room"}}};
  EXPECT_EQ(ask(false), Outcome::unknown);
  EXPECT_EQ(ask(true, true), Outcome::unknown) << "Wherry made it fail";
  EXPECT_EQ(ask(true), Outcome::failed);
  EXPECT_ERROR(report_.ended->detail, "source's QEMU", "no room");
}

TEST_F(SourceWordTest, DoesNotOverruleTheDestinations) {
  qemu_.migrates({"failed"});
  report_.ended->outcome = Outcome::completed;
  EXPECT_EQ(ask(true), Outcome::completed);
}

TEST_F(SourceWordTest, TellsAFailureFromACancellation) {
  report_.ended->outcome = Outcome::failed;
  qemu_.migrates({"cancelled"});
  EXPECT_EQ(ask(false), Outcome::cancelled);
  EXPECT_EQ(report_.ended->detail, "nobody knows") << "which says more than that it was cancelled";
}

TEST_F(SourceWordTest, TellsOfAGuestThatIsKeptStopped) {
  report_.ended->outcome = Outcome::failed;
  qemu_.migrates({"failed"});
  qemu_.guest_is({"finish-migrate"});
  EXPECT_EQ(ask(false), Outcome::unknown);
  EXPECT_ERROR(report_.ended->detail, "nobody knows; ", "query-status");
}

TEST_F(SourceWordTest, ButNotInPostcopy) {
  report_.ended->outcome = Outcome::failed;
  qemu_.migrates({"postcopy-paused"});
  qemu_.guest_is({"finish-migrate"});
  EXPECT_EQ(ask(false), Outcome::failed);
}

TEST_F(SourceWordTest, HasTheDowntime) {
  qemu_.answers["query-migrate"] = {{{"status", "completed"}, {"downtime", 12}}};
  ask(true);
  EXPECT_EQ(report_.downtime.switchover_ms, 12.0);
}

TEST_F(SourceWordTest, IsNoneOfAQemuThatHasGone) {
  qemu_.refuses = {"query-migrate"};
  test::ScriptedAccess access(qemu_, {});
  EXPECT_FALSE(SourceWord::ask(access));
}

}  // namespace
}  // namespace wherry
