#include "tests/base/expect_error.h"

#include <gtest/gtest.h>

namespace wherry {
namespace {

using test::fails_with;

TEST(ExpectError, EachPartHasToBeInTheMessage) {
  const Result<int> refused = fail("peer-x has {} lanes", 65);
  EXPECT_TRUE(fails_with(refused, "peer-x"));
  EXPECT_TRUE(fails_with(refused, "peer-x", std::string("65")));
  EXPECT_FALSE(fails_with(refused, "peer-x", "64"));
  EXPECT_FALSE(fails_with(refused, "peer-y", "65"));
  EXPECT_FALSE(fails_with(refused, "")) << "that would pin nothing";
}

TEST(ExpectError, AnErrorComesInSeveralForms) {
  const Error error{"peer-x"};
  for (const char* peer : {"peer-x", "peer-y"}) {
    const bool names_it = error.message == peer;
    EXPECT_EQ(fails_with(error, peer), names_it);
    EXPECT_EQ(fails_with(std::optional(error), peer), names_it);
    EXPECT_EQ(fails_with(error.message, peer), names_it);
  }
}

TEST(ExpectError, SuccessIsNone) {
  EXPECT_FALSE(fails_with(Result<>(), "peer-x"));
  EXPECT_FALSE(fails_with(Result<std::string>("peer-x"), "peer-x"));
  EXPECT_FALSE(fails_with(std::optional<Error>(), "peer-x"));
}

}  // namespace
}  // namespace wherry
