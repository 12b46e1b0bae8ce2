#include "transport/fabric/fabric_progress.h"

#include <gtest/gtest.h>

namespace wherry {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class FabricProgressTest : public testing::Test {
 protected:
  const FabricProgress::Time begin_;
  FabricProgress progress_{begin_};
};

TEST_F(FabricProgressTest, CountsWhatIsNotDone) {
  progress_.posted(100, begin_);
  progress_.posted(20, begin_);
  EXPECT_EQ(progress_.operations(), 2u);
  EXPECT_EQ(progress_.bytes(), 120u);
  progress_.done(100, begin_);
  EXPECT_EQ(progress_.operations(), 1u);
  EXPECT_EQ(progress_.bytes(), 20u);
}

TEST_F(FabricProgressTest, WithoutABoundItIsNeitherStalledNorQuiet) {
  EXPECT_FALSE(progress_.quiet(begin_ + seconds(1000)));
  progress_.posted(1, begin_);
  EXPECT_FALSE(progress_.stalled(begin_ + seconds(1000)));
}

TEST_F(FabricProgressTest, StallsWhenWhatWasPostedIsNotDoneInTime) {
  progress_.bound(seconds(3));
  EXPECT_FALSE(progress_.stalled(begin_ + seconds(100)));
  // The time begins with the first operation.
  progress_.posted(1, begin_ + seconds(100));
  progress_.posted(1, begin_ + seconds(102));
  EXPECT_FALSE(progress_.stalled(begin_ + seconds(103)));
  EXPECT_TRUE(progress_.stalled(begin_ + seconds(103) + milliseconds(1)));
  // It begins again with each that is done, and with what the peer sends.
  progress_.done(1, begin_ + seconds(103));
  EXPECT_FALSE(progress_.stalled(begin_ + seconds(106)));
  progress_.arrived(begin_ + seconds(105));
  EXPECT_FALSE(progress_.stalled(begin_ + seconds(108)));
  EXPECT_TRUE(progress_.stalled(begin_ + seconds(109)));
  progress_.done(1, begin_ + seconds(109));
  EXPECT_FALSE(progress_.stalled(begin_ + seconds(200)));
}

TEST_F(FabricProgressTest, StallsWhenThePeerOwesAWrite) {
  progress_.bound(seconds(3));
  progress_.owe(true, begin_ + seconds(10));
  EXPECT_FALSE(progress_.stalled(begin_ + seconds(13)));
  EXPECT_TRUE(progress_.stalled(begin_ + seconds(14)));
  progress_.owe(true, begin_ + seconds(14));
  EXPECT_FALSE(progress_.stalled(begin_ + seconds(17)));
  progress_.owe(false, begin_ + seconds(18));
  EXPECT_FALSE(progress_.stalled(begin_ + seconds(100)));
}

TEST_F(FabricProgressTest, IsQuietWhenNothingGotThroughForAThirdOfTheTime) {
  progress_.bound(seconds(3));
  EXPECT_FALSE(progress_.quiet(begin_ + seconds(1)));
  EXPECT_TRUE(progress_.quiet(begin_ + milliseconds(1001)));
  progress_.posted(1, begin_ + seconds(2));
  EXPECT_FALSE(progress_.quiet(begin_ + seconds(10)));
  progress_.done(1, begin_ + seconds(10));
  EXPECT_FALSE(progress_.quiet(begin_ + seconds(11)));
  EXPECT_TRUE(progress_.quiet(begin_ + seconds(12)));
  progress_.owe(true, begin_ + seconds(12));
  EXPECT_FALSE(progress_.quiet(begin_ + seconds(20)));
}

}  // namespace
}  // namespace wherry
