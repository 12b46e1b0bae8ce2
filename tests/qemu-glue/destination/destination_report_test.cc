#include "qemu-glue/destination/destination_report.h"

#include <gtest/gtest.h>

namespace wherry {
namespace {

class DestinationReportTest : public testing::Test {
 protected:
  nlohmann::json account(bool withdrawn = false) {
    return report_.account({Outcome::completed, ""}, withdrawn);
  }
  DestinationReport report_{*Uri::parse("wherry://127.0.0.1:0")};
};

TEST_F(DestinationReportTest, TellsTheSourceHowPagesWerePlaced) {
  report_.place_directly(GuestRam::Way::mapped);
  EXPECT_EQ(account()["placement"], "direct-mapped");
  EXPECT_EQ(account()["placement_reason"], "");
  EXPECT_EQ(account()["outcome"], "completed");
  report_.place_directly(GuestRam::Way::process);
  EXPECT_EQ(account()["placement"], "direct-process");
}

TEST_F(DestinationReportTest, OrWhyTheyWereRelayed) {
  report_.relay("asked for");
  EXPECT_EQ(account(true)["placement"], "relay");
  EXPECT_EQ(account(true)["placement_reason"], "asked for") << "nothing was placed that could be withdrawn";
}

TEST_F(DestinationReportTest, PlacementThatIsWithdrawnIsNone) {
  report_.place_directly(GuestRam::Way::mapped);
  EXPECT_EQ(account(true)["placement"], "relay");
  EXPECT_EQ(account(true)["placement_reason"], "a channel became opaque");
  EXPECT_EQ(report_.report().placement.how, "relay");
}

TEST_F(DestinationReportTest, NorIsThereOneForAStreamThatCannotBeRead) {
  EXPECT_EQ(account()["placement"], "relay");
  EXPECT_EQ(account()["placement_reason"], "the main channel is opaque from its beginning");
}

TEST_F(DestinationReportTest, HasTheFiguresOfTheSession) {
  DestinationSession::Totals totals;
  totals.wire_bytes = 7;
  totals.landing.asked_again = 1;
  totals.lanes = {{.peer = "a", .no_fabric = "no device", .written_bytes = 3}};
  report_.add(totals);
  report_.end({Outcome::unknown, "cut"});
  const Report report = report_.report();
  EXPECT_EQ(report.role, "destination");
  EXPECT_EQ(report.traffic.wire_bytes, 7u);
  EXPECT_EQ(report.traffic.asked_again, 1u);
  ASSERT_EQ(report.lanes.size(), 1u);
  EXPECT_EQ(report.lanes[0].no_rdma, "no device");
  EXPECT_EQ(report.lanes[0].written, 3u);
  EXPECT_EQ(report.status(), "unknown");
  EXPECT_EQ(report.error(), "cut");
}

}  // namespace
}  // namespace wherry
