#include "qemu-glue/outcome/outcome.h"

#include <gtest/gtest.h>

#include "tests/base/expect_error.h"

namespace wherry {
namespace {

constexpr Outcome kAll[] = {Outcome::completed, Outcome::failed, Outcome::cancelled, Outcome::unknown};

TEST(Outcome, HasAWord) {
  for (const Outcome outcome : kAll) EXPECT_EQ(outcome_named(name(outcome)), outcome);
  EXPECT_FALSE(outcome_named("running"));
}

TEST(Outcome, WhoKnowsNothingAgreesWithTheOther) {
  EXPECT_FALSE(agree({}, {}));
  for (const Outcome outcome : kAll) {
    EXPECT_EQ(agree(Ended{outcome, "here"}, {})->detail, "here");
    EXPECT_EQ(agree({}, Ended{outcome, "there"})->detail, "there");
  }
}

bool stays(Outcome outcome) {
  return outcome == Outcome::failed || outcome == Outcome::cancelled;
}

TEST(Outcome, WhatOneHasReasonToDoubtBothDoubt) {
  for (const Outcome one : kAll) {
    for (const Outcome other : kAll) {
      const auto agreed = agree(Ended{one, "here"}, Ended{other, "there"});
      ASSERT_TRUE(agreed);
      const bool doubt = one != other && !(stays(one) && stays(other));
      EXPECT_EQ(agreed->outcome == Outcome::unknown, doubt || one == Outcome::unknown)
          << name(one) << " " << name(other);
      if (one == other) {
        EXPECT_EQ(agreed->detail, "here");
      }
    }
  }
  EXPECT_EQ(agree(Ended{Outcome::completed, ""}, Ended{Outcome::unknown, "doubt"})->detail, "doubt");
  EXPECT_ERROR(agree(Ended{Outcome::completed, ""}, Ended{Outcome::failed, "x"})->detail, "ask both");
}

TEST(Outcome, OfAFailureOneMayKnowThatItWasWished) {
  const Ended failed{Outcome::failed, "x"}, cancelled{Outcome::cancelled, "asked for"};
  for (const auto& agreed : {agree(failed, cancelled), agree(cancelled, failed)}) {
    EXPECT_EQ(agreed->outcome, Outcome::cancelled);
    EXPECT_EQ(agreed->detail, "asked for");
  }
}

TEST(Outcome, IsToldToTheOtherEnd) {
  for (const Outcome outcome : kAll) {
    const auto told = told_outcome(to_account(Ended{outcome, "why"}));
    ASSERT_TRUE(told);
    EXPECT_EQ(told->outcome, outcome);
    EXPECT_EQ(told->detail, "why");
  }
  EXPECT_FALSE(told_outcome(to_account({})));
  EXPECT_FALSE(told_outcome({{"outcome", "fine"}, {"detail", ""}}));
  EXPECT_FALSE(told_outcome({{"outcome", 1}, {"detail", ""}}));
  EXPECT_FALSE(told_outcome({{"outcome", "failed"}}));
}

}  // namespace
}  // namespace wherry
