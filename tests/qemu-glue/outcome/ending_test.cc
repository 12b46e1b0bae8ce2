#include "qemu-glue/outcome/ending.h"

#include <gtest/gtest.h>

#include "tests/base/expect_error.h"

namespace wherry::qemu {
namespace {

using State = Ending::State;
using Heard = Ending::Heard;

TEST(Ending, WithoutTheLastBytesNobodyHasIt) {
  Ending ending;
  EXPECT_EQ(ending.state(), State::cannot);
  EXPECT_TRUE(ending.give_up());
  EXPECT_EQ(ending.state(), State::has_not);
  EXPECT_EQ(ending.ended(true).outcome, Outcome::failed);
}

TEST(Ending, OnceGivenUpTheLastBytesMustNotGo) {
  Ending ending;
  EXPECT_TRUE(ending.give_up());
  EXPECT_FALSE(ending.may_have_it());
  EXPECT_EQ(ending.state(), State::has_not);
}

TEST(Ending, WithThemOnlyQemuKnows) {
  Ending ending;
  ending.will_say();
  EXPECT_TRUE(ending.may_have_it());
  EXPECT_FALSE(ending.give_up());
  EXPECT_EQ(ending.state(), State::may);
  EXPECT_EQ(ending.ended(true).outcome, Outcome::unknown);
  EXPECT_TRUE(ending.may_have_it()) << "again";
}

TEST(Ending, ItsWordCounts) {
  for (const uint32_t shut : {0u, 1u}) {
    Ending ending;
    EXPECT_TRUE(ending.may_have_it());
    ending.said(shut);
    ending.left(true);
    EXPECT_EQ(ending.state(), shut == 0 ? State::has : State::has_not);
    EXPECT_EQ(ending.ended(true).outcome, shut == 0 ? Outcome::completed : Outcome::failed);
  }
}

TEST(Ending, AWordThatTheSourceWasNotToldIsNoCompletion) {
  Ending ending;
  EXPECT_TRUE(ending.may_have_it());
  ending.said(0);
  EXPECT_FALSE(ending.give_up()) << "the source's QEMU must get SHUT";
  EXPECT_EQ(ending.ended(false).outcome, Outcome::unknown);
  EXPECT_ERROR(ending.ended(false).detail, "may not have been told");
}

TEST(Ending, ASourceThatLeftBeforeTheWordHasTheGuestToo) {
  Ending ending;
  ending.will_say();
  EXPECT_TRUE(ending.may_have_it());
  ending.source_left(Heard::not_known);
  ending.said(0);
  EXPECT_EQ(ending.ended(true).outcome, Outcome::unknown);
}

// The source's QEMU had closed several channels before, as it does when it completes.
TEST(Ending, ASourceThatLeftBeforeTheWordIsSeenBehindClosedChannels) {
  Ending ending;
  ending.will_say();
  EXPECT_TRUE(ending.may_have_it());
  ending.leaves();
  ending.source_left(Heard::not_known);
  ending.said(0);
  EXPECT_EQ(ending.ended(true).outcome, Outcome::unknown);
}

TEST(Ending, ASourceThatLeavesTheWordUnreadWasNotTold) {
  Ending ending;
  ending.will_say();
  EXPECT_TRUE(ending.may_have_it());
  ending.said(0);
  ending.source_left(Heard::nothing);
  EXPECT_EQ(ending.ended(true).outcome, Outcome::unknown);
}

TEST(Ending, AMonitorKnowsWhatTheStreamDoesNotTell) {
  for (const bool has_it : {true, false}) {
    Ending ending;
    EXPECT_TRUE(ending.may_have_it());
    EXPECT_FALSE(ending.known(true));
    ending.left(true);
    ending.source_left(Heard::not_known);
    ending.asked(has_it);
    EXPECT_EQ(ending.ended(true).outcome, has_it ? Outcome::completed : Outcome::failed);
  }
}

TEST(Ending, WhereASourceWaitsForNoWordItMayLeaveFirst) {
  for (const bool says_nothing : {true, false}) {
    Ending ending;
    if (says_nothing) ending.will_not_say();
    EXPECT_TRUE(ending.may_have_it());
    ending.source_left(Heard::not_known);
    ending.left(true);
    ending.asked(true);
    EXPECT_EQ(ending.ended(true).outcome, says_nothing ? Outcome::completed : Outcome::unknown);
  }
}

TEST(Ending, WhereTheWordCannotBeReadOneThatMayHaveBeenItCounts) {
  for (const Heard heard : {Heard::perhaps, Heard::not_known, Heard::nothing}) {
    Ending ending;
    EXPECT_TRUE(ending.may_have_it());
    ending.source_left(heard);
    ending.left(true);
    ending.asked(true);
    EXPECT_EQ(ending.ended(true).outcome, heard == Heard::perhaps ? Outcome::completed : Outcome::unknown);
  }
}

// A QEMU whose stream ends after the last bytes that it needs has the guest, and yet reports an error.
TEST(Ending, AnErrorOfAStreamThatWasCutIsNoRefusal) {
  for (const bool by_source : {true, false}) {
    Ending ending;
    ending.will_say();
    EXPECT_TRUE(ending.may_have_it());
    if (by_source) {
      ending.source_left(Heard::not_known);
    } else {
      ending.cut();
    }
    ending.said(1);
    ending.left(true);
    EXPECT_EQ(ending.state(), State::may);
    EXPECT_EQ(ending.ended(true).outcome, Outcome::unknown);
    ending.asked(true);
    EXPECT_EQ(ending.ended(true).outcome, Outcome::unknown) << "the source has failed because of that SHUT";
  }
}

TEST(Ending, AMonitorCanSayThatItWasARefusal) {
  Ending ending;
  ending.will_say();
  EXPECT_TRUE(ending.may_have_it());
  ending.cut();
  ending.said(1);
  ending.asked(false);
  EXPECT_EQ(ending.ended(true).outcome, Outcome::failed);
}

TEST(Ending, WhatIsKnownLaterCounts) {
  Ending ending;
  ending.will_not_say();
  ending.will_say();
  ending.will_not_say();
  EXPECT_TRUE(ending.may_have_it());
  ending.left(true);
  EXPECT_EQ(ending.state(), State::has_not);
}

TEST(Ending, ASourceThatLeavesBehindTheWordIsUsual) {
  Ending ending;
  EXPECT_TRUE(ending.may_have_it());
  ending.said(0);
  ending.source_left(Heard::not_known);
  ending.left(true);
  EXPECT_EQ(ending.ended(true).outcome, Outcome::completed);
}

TEST(Ending, WhoCloses) {
  struct Case {
    bool sent;
    bool says;
    State state;
    Outcome outcome;
  };
  for (const Case& each :
       {Case{false, true, State::has_not, Outcome::failed},
        Case{false, false, State::has_not, Outcome::failed},
        // A QEMU that would have sent SHUT 0 if it had the guest.
        Case{true, true, State::has_not, Outcome::failed}, Case{true, false, State::may, Outcome::unknown}}) {
    Ending ending;
    if (each.says) ending.will_say();
    if (each.sent) {
      EXPECT_TRUE(ending.may_have_it());
    }
    EXPECT_FALSE(ending.over());
    ending.left(true);
    EXPECT_TRUE(ending.over());
    EXPECT_EQ(ending.state(), each.state) << each.sent << each.says;
    EXPECT_EQ(ending.ended(true).outcome, each.outcome) << each.sent << each.says;
  }
}

TEST(Ending, AQemuThatSaysNothingEndsNothingInItsDirection) {
  Ending silent;
  silent.left(false);
  EXPECT_EQ(silent.state(), State::cannot);
  EXPECT_FALSE(silent.over());
  Ending saying;
  saying.will_say();
  saying.left(false);
  EXPECT_EQ(saying.state(), State::has_not);
  EXPECT_TRUE(saying.over());
}

TEST(Ending, TheFirstToLeaveIsTheCause) {
  Ending source;
  source.source_left(Heard::not_known);
  source.left(true);
  EXPECT_ERROR(source.ended(true).detail, "the source's QEMU ended");
  Ending destination;
  destination.left(true);
  destination.source_left(Heard::not_known);
  EXPECT_ERROR(destination.ended(true).detail, "the destination's QEMU closed");
}

TEST(Ending, InPostcopyBothHaveAPart) {
  Ending ending;
  EXPECT_TRUE(ending.may_have_it());
  ending.fetches();
  EXPECT_FALSE(ending.give_up()) << "a source that has sent everything would run the guest as well";
  EXPECT_EQ(ending.state(), State::shares);
  ending.left(true);
  EXPECT_EQ(ending.ended(true).outcome, Outcome::unknown);
  EXPECT_ERROR(ending.ended(true).detail, "migrate-recover");
  ending.said(0);
  EXPECT_EQ(ending.ended(true).outcome, Outcome::completed);
}

TEST(Ending, TheDestinationCanSayThatItNeverWill) {
  Ending ending;
  EXPECT_TRUE(ending.may_have_it());
  ending.never();
  EXPECT_TRUE(ending.give_up());
  EXPECT_EQ(ending.ended(true).outcome, Outcome::failed);
}

}  // namespace
}  // namespace wherry::qemu
