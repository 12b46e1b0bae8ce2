#include "transport/destination/word_keeper.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "tests/base/expect_error.h"
#include "tests/transport/destination/destination_fixture.h"
#include "tests/transport/destination/model_site.h"
#include "tests/transport/support.h"
#include "tests/transport/wire/raw_peer.h"

namespace wherry {
namespace {

using nlohmann::json;
using test::bytes_of;
using test::RawConnection;

class WordKeeperTest : public test::DestinationFixture {};

TEST_F(WordKeeperTest, ASourceThatComesBackGetsTheLastWord) {
  site_.guest = LandingSite::Guest::may_be_here;
  establish(1);
  ASSERT_TRUE(session_->send_back(0, bytes_of("pong ")));
  source_->control.shut();
  EXPECT_ERROR(session_->finish(), "went away");
  RawConnection stranger(where());
  ASSERT_TRUE(stranger.send(FrameType::last_word, {{"token", "guessed"}, {"route", ""}, {"heard", 0u}}));
  EXPECT_ERROR(stranger.refusal(), "token");
  RawConnection back(where());
  ASSERT_TRUE(back.send(FrameType::last_word, {{"token", source_->token}, {"route", ""}, {"heard", 5u}}));
  ASSERT_TRUE(back.receive(FrameType::welcome));
  ASSERT_TRUE(session_->send_back(0, bytes_of("shut")));
  ASSERT_TRUE(session_->close_back(0, true));
  auto word = back.receive(FrameType::reverse);
  ASSERT_TRUE(word);
  EXPECT_EQ(word->text(), "shut");
  auto closed = back.receive(FrameType::reverse_close);
  ASSERT_TRUE(closed);
  EXPECT_EQ(closed->head.header.aux, kBothWays);
  auto done = back.receive(FrameType::done);
  ASSERT_TRUE(done);
  EXPECT_EQ(done->map(), (json{{"side", "destination"}}));
  ASSERT_TRUE(back.send(FrameType::done, json::object()));
  EXPECT_TRUE(session_->keep_word());
}

// The source's connections can be dead without the destination's noticing.
TEST_F(WordKeeperTest, ASourceThatComesBackEndsTheSession) {
  site_.guest = LandingSite::Guest::may_be_here;
  establish(1);
  RawConnection back(where());
  ASSERT_TRUE(back.send(FrameType::last_word, {{"token", source_->token}, {"route", ""}, {"heard", 0u}}));
  EXPECT_ERROR(session_->finish(), "source", "lost its connections");
  ASSERT_TRUE(session_->close_back(0, true));
  ASSERT_TRUE(back.receive(FrameType::done));
}

// A source that has sent may_be_there holds its VMM's connections and comes to ask. It learns at once that
// the guest did not arrive.
TEST_F(WordKeeperTest, ASourceThatMayHoldIsAwaitedAlsoWhereTheVmmNeverHadTheGuest) {
  establish(1);
  ASSERT_TRUE(source_->control.send({.type = FrameType::may_be_there}));
  source_->control.shut();
  EXPECT_ERROR(session_->finish(), "went away");
  RawConnection back(where());
  ASSERT_TRUE(back.send(FrameType::last_word, {{"token", source_->token}, {"route", ""}, {"heard", 0u}}));
  EXPECT_TRUE(back.receive(FrameType::reverse_close));
  ASSERT_TRUE(back.receive(FrameType::done));
  ASSERT_TRUE(back.send(FrameType::done, json::object()));
  EXPECT_TRUE(session_->keep_word());
}

TEST_F(WordKeeperTest, ASourceThatWasToldIsNotAwaited) {
  establish(1);
  failure_.fail({"no room"});
  EXPECT_ERROR(session_->finish(), "no room");
  EXPECT_FALSE(session_->keep_word());
}

TEST_F(WordKeeperTest, WhereBothVmmsWaitToBeJoinedNobodyIsAwaitedForLong) {
  site_.guest = LandingSite::Guest::may_be_here;
  establish(1);
  ASSERT_TRUE(source_->control.send({.type = FrameType::may_be_there}));
  failure_.fail({"no room"});
  EXPECT_ERROR(session_->finish(), "no room");
  site_.guest = LandingSite::Guest::in_part;  // by the time that the VMM has left
  ASSERT_TRUE(session_->close_back(0, true));
  EXPECT_FALSE(session_->keep_word());
}

TEST_F(WordKeeperTest, WhereTheVmmNeverHadTheGuestTheSourceIsToldSo) {
  establish(1);
  failure_.fail({"no room"});
  auto failed = source_->control.receive(FrameType::failed);
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->head.header.aux, kNeverThere);
}

TEST_F(WordKeeperTest, WhereTheVmmMayHaveItTheSourceIsNotToldThat) {
  site_.guest = LandingSite::Guest::may_be_here;
  establish(1);
  failure_.fail({"no room"});
  auto failed = source_->control.receive(FrameType::failed);
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->head.header.aux, 0u);
}

// Without a session.
class WordKeeperAlone : public testing::Test {
 protected:
  using Guest = LandingSite::Guest;
  WordKeeperAlone() : watchdog_("one who keeps a word that nobody comes for") {}
  // Whether it waits for a source to be told; ends that.
  bool waits() {
    std::atomic<bool> over = false;
    std::thread keeps([&] {
      EXPECT_FALSE(keeper_.keep(std::chrono::hours(1)));
      over = true;
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const bool waited = !over;
    keeper_.stop();
    keeps.join();
    return waited;
  }

  test::Watchdog watchdog_;
  test::ModelSite site_;
  WordKeeper keeper_{site_};
};

TEST_F(WordKeeperAlone, WhereTheGuestNeverCameNobodyIsAwaited) {
  EXPECT_EQ(keeper_.give_up(), Guest::not_here);
  EXPECT_FALSE(keeper_.may_come_back(Guest::not_here));
  EXPECT_FALSE(keeper_.keep(std::chrono::hours(1)));
}

TEST_F(WordKeeperAlone, ASourceThatHoldsIsAwaitedWhereverTheGuestIs) {
  keeper_.source_holds();
  EXPECT_TRUE(keeper_.may_come_back(keeper_.give_up()));
  EXPECT_TRUE(waits());
}

TEST_F(WordKeeperAlone, ASourceIsAwaitedWhereTheGuestMayBeHere) {
  site_.guest = Guest::may_be_here;
  EXPECT_TRUE(keeper_.may_come_back(keeper_.give_up()));
  keeper_.closed();
  EXPECT_TRUE(waits());
}

TEST_F(WordKeeperAlone, ASourceThatHoldsAPartIsNotAwaited) {
  keeper_.source_holds();
  site_.guest = Guest::in_part;
  EXPECT_FALSE(keeper_.keep(std::chrono::hours(1)));
}

TEST_F(WordKeeperAlone, ASourceThatVanishedMayComeBackSoon) {
  EXPECT_FALSE(keeper_.may_come_back(Guest::not_here));
  keeper_.source_vanished();
  EXPECT_TRUE(keeper_.may_come_back(Guest::not_here));
  EXPECT_TRUE(waits());
}

}  // namespace
}  // namespace wherry
