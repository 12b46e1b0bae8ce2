#include "qemu-glue/monitor/run_state.h"

#include <gtest/gtest.h>

namespace wherry::qemu {
namespace {

using nlohmann::json;

// A QEMU that only says this, or nothing.
class Saying : public Monitor {
 public:
  explicit Saying(Result<json> answer) : answer_(std::move(answer)) {}
  Result<json> execute(std::string_view command, json, std::chrono::milliseconds) override {
    EXPECT_EQ(command, "query-status");
    return answer_;
  }

 private:
  const Result<json> answer_;
};

TEST(RunState, AGuestThatSleepsGoesOnAsOneThatRuns) {
  EXPECT_EQ(run_state_named("running"), RunState::live);
  EXPECT_EQ(run_state_named("suspended"), RunState::live);
}

TEST(RunState, WhoeverStoppedItItStays) {
  for (const char* name : {"paused", "prelaunch", "shutdown", "io-error", "guest-panicked"})
    EXPECT_EQ(run_state_named(name), RunState::stopped) << name;
}

TEST(RunState, AMigrationsOwnSaysNothingOfTheGuest) {
  EXPECT_EQ(run_state_named("finish-migrate"), RunState::leaves);
  EXPECT_EQ(run_state_named("postmigrate"), RunState::leaves);
  EXPECT_EQ(run_state_named("inmigrate"), RunState::awaited);
}

TEST(RunState, WhatIsNotKnownIsNone) {
  EXPECT_FALSE(run_state_named(""));
  EXPECT_FALSE(run_state_named("Running"));
}

TEST(RunState, IsAskedFor) {
  const auto asked = [](Result<json> answer) {
    Saying qemu(std::move(answer));
    return ask_run_state(qemu);
  };
  EXPECT_EQ(asked(json{{"status", "paused"}}), RunState::stopped);
  EXPECT_FALSE(asked(json{{"status", "new"}}));
  EXPECT_FALSE(asked(json{{"status", 1}}));
  EXPECT_FALSE(asked(json::object()));
  EXPECT_FALSE(asked(fail("it has ended")));
}

}  // namespace
}  // namespace wherry::qemu
