#include "qemu-glue/doctor/finding.h"

#include <gtest/gtest.h>

namespace wherry::doctor {
namespace {

const Findings kSome{ok("a", "fine"), note("longer", "slow", "do this"),
                     problem("b", "bad\x1b[2J\n\xe2", "do that")};

TEST(Finding, OnlyAProblemIsOne) {
  EXPECT_TRUE(has_problem(kSome));
  EXPECT_FALSE(has_problem({kSome[0], kSome[1]}));
}

TEST(Finding, TextIsALineEachInColumnsAndAscii) {
  EXPECT_EQ(as_text(kSome),
            "ok       a       fine\n"
            "note     longer  slow -> do this\n"
            "problem  b       bad?[2J?? -> do that\n");
}

TEST(Finding, JsonHasARemedyWhereThereIsOne) {
  const nlohmann::json all = as_json({kSome[0], kSome[1]});
  EXPECT_EQ(all[0], (nlohmann::json{{"level", "ok"}, {"about", "a"}, {"found", "fine"}}));
  EXPECT_EQ(all[1], (nlohmann::json{
                        {"level", "note"}, {"about", "longer"}, {"found", "slow"}, {"remedy", "do this"}}));
}

}  // namespace
}  // namespace wherry::doctor
