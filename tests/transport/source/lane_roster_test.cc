#include "transport/source/lane_roster.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace wherry {
namespace {

using Side = LaneRoster::Side;

// A lane that goes nowhere and notes whether it was shut.
class StillLane : public LaneSender {
 public:
  StillLane(std::string peer, bool& shut) : peer_(std::move(peer)), shut_(shut) {}
  Result<> attach(std::span<uint8_t>) override { return {}; }
  Result<> post(FrameHeader, std::span<const uint8_t>, std::span<const std::span<const uint8_t>>) override {
    return {};
  }
  Result<> complete() override { return {}; }
  void shut() override { shut_ = true; }
  Error await_end() override { return {"it has ended"}; }
  uint64_t bytes_sent() const override { return 1; }
  uint64_t bytes_waiting() const override { return 10; }
  uint64_t bytes_on_way() const override { return 100; }
  std::string peer() const override { return peer_; }

 private:
  const std::string peer_;
  bool& shut_;
};

class LaneRosterTest : public testing::Test {
 protected:
  LaneRosterTest() {
    std::vector<OpenLane> lanes(2);
    lanes[0].sender = std::make_unique<StillLane>("a", shut_[0]);
    lanes[1].sender = std::make_unique<StillLane>("b", shut_[1]);
    lanes[1].no_fabric = "no device";
    roster_.add(std::move(lanes));
  }
  bool shut_[2] = {};
  LaneRoster roster_;
};

TEST_F(LaneRosterTest, ALaneIsLostOnce) {
  const auto loss = roster_.lose(0, "cut");
  ASSERT_TRUE(loss);
  EXPECT_FALSE(loss->last);
  EXPECT_FALSE(loss->over_there);
  EXPECT_TRUE(shut_[0]);
  EXPECT_FALSE(shut_[1]);
  EXPECT_FALSE(roster_.lose(0, "cut again"));
  EXPECT_TRUE(roster_.any_lost());
  EXPECT_EQ(roster_.accounts()[0].lost, "cut");
  EXPECT_EQ(roster_.accounts()[1].lost, "");
  EXPECT_TRUE(roster_.lose(1, "cut too")->last);
}

TEST_F(LaneRosterTest, ALaneIsOverWhenBothEndsHaveDoneWithIt) {
  EXPECT_FALSE(roster_.over(0, Side::source));
  EXPECT_FALSE(roster_.over(0, Side::source));
  EXPECT_FALSE(roster_.over(1, Side::destination)) << "another lane";
  EXPECT_TRUE(roster_.over(0, Side::destination));
}

TEST_F(LaneRosterTest, KnowsWhetherTheDestinationKnows) {
  EXPECT_FALSE(roster_.over(0, Side::destination));
  EXPECT_TRUE(roster_.lose(0, "the destination lost it")->over_there);
}

TEST_F(LaneRosterTest, NoLossCountsWhenAllIsDone) {
  roster_.done();
  EXPECT_TRUE(roster_.is_done());
  EXPECT_FALSE(roster_.lose(0, "closed"));
  EXPECT_FALSE(roster_.any_lost());
  EXPECT_FALSE(shut_[0]);
}

TEST_F(LaneRosterTest, CountsWhatTheLanesStillHave) {
  EXPECT_EQ(roster_.bytes_waiting(), 20u);
  EXPECT_EQ(roster_.bytes_on_way(), 200u);
  roster_.lose(0, "cut");
  EXPECT_EQ(roster_.bytes_waiting(), 10u) << "what a lost lane had waits for nothing";
  EXPECT_EQ(roster_.bytes_on_way(), 100u);
  const auto accounts = roster_.accounts();
  ASSERT_EQ(accounts.size(), 2u);
  EXPECT_EQ(accounts[1].peer, "b");
  EXPECT_EQ(accounts[1].no_fabric, "no device");
  EXPECT_EQ(accounts[1].bytes, 1u);
}

}  // namespace
}  // namespace wherry
