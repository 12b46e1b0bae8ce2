#include "qemu-glue/look/fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/base/expect_error.h"

namespace wherry::look {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;

// The error after `read` has read members of the JSON; empty if there is none.
template <class Read>
std::string error_of(const json& object, Read read) {
  std::optional<Error> error;
  read(Fields(object, error));
  return error ? error->message : "";
}

TEST(Fields, WhatIsThereIsRead) {
  const json object = {{"n", 12}, {"x", 0.5}, {"t", "text"}, {"f", true}, {"o", {{"b", 1}, {"a", 2}}}};
  EXPECT_EQ(error_of(object,
                     [](const Fields& fields) {
                       EXPECT_EQ(fields.number("n"), 12);
                       EXPECT_EQ(fields.number("x"), 0.5);
                       EXPECT_EQ(fields.text("t"), "text");
                       EXPECT_EQ(fields.flag("f"), true);
                       EXPECT_EQ(fields.object("o")->number("a"), 2);
                       EXPECT_THAT(fields.object("o")->names(), ElementsAre("a", "b"));
                     }),
            "");
}

TEST(Fields, WhatIsAbsentOrNullIsNothing) {
  const json object = {{"n", nullptr}};
  EXPECT_EQ(error_of(object,
                     [](const Fields& fields) {
                       EXPECT_FALSE(fields.number("n"));
                       EXPECT_FALSE(fields.text("t"));
                       EXPECT_FALSE(fields.flag("f"));
                       EXPECT_FALSE(fields.object("o"));
                       EXPECT_TRUE(fields.list("l").empty());
                     }),
            "");
}

TEST(Fields, AnotherTypeIsAnErrorThatNamesIt) {
  const json object = {{"n", "NaN"}, {"t", 1}, {"l", {{{"x", 1}}, {{"x", json::array()}}}}, {"o", "text"}};
  EXPECT_ERROR(error_of(object, [](const Fields& fields) { EXPECT_FALSE(fields.number("n")); }),
               "n: ", "a number", "string");
  EXPECT_ERROR(error_of(object, [](const Fields& fields) { EXPECT_FALSE(fields.text("t")); }),
               "t: ", "a string", "number");
  EXPECT_ERROR(error_of(object, [](const Fields& fields) { EXPECT_FALSE(fields.flag("t")); }),
               "t: ", "true or false", "number");
  EXPECT_ERROR(error_of(object, [](const Fields& fields) { EXPECT_TRUE(fields.list("o").empty()); }),
               "o: ", "a list", "string");
  EXPECT_ERROR(error_of(object, [](const Fields& fields) { EXPECT_FALSE(fields.object("o")->number("x")); }),
               "o: ", "an object", "string");
  EXPECT_ERROR(error_of(object, [](const Fields& fields) { EXPECT_FALSE(fields.list("l")[1].number("x")); }),
               "l[1].x: ", "a number", "array");
  EXPECT_ERROR(error_of(json::array(), [](const Fields& fields) { EXPECT_FALSE(fields.number("n")); }),
               "an object", "array");
}

TEST(Fields, NumbersHaveARange) {
  for (const char* bad : {"-1", "1e300", "-0.5", "18446744073709551615", "1.1e18"}) {
    const json object = {{"n", json::parse(bad)}};
    EXPECT_ERROR(error_of(object, [](const Fields& fields) { EXPECT_FALSE(fields.number("n")); }),
                 "n: ", "between 0 and 1e+18")
        << bad;
  }
}

TEST(Fields, TheFirstErrorIsKept) {
  const json object = {{"a", "x"}, {"b", "y"}};
  EXPECT_EQ(error_of(object,
                     [](const Fields& fields) {
                       fields.number("b");
                       fields.number("a");
                       fields.refuse("c", "missing");
                     }),
            "b: expected a number, found: string");
}

}  // namespace
}  // namespace wherry::look
