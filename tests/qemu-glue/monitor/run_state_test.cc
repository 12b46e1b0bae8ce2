#include "qemu-glue/monitor/run_state.h"

#include <gtest/gtest.h>

namespace wherry::qemu {
namespace {

using nlohmann::json;

// A QEMU that always gives the same answer.
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

TEST(RunState, WhatNoDestinationTakesIsBoundToItsQemu) {
  for (const char* name : {"debug", "save-vm", "restore-vm"})
    EXPECT_EQ(run_state_named(name), RunState::bound) << name;
}

TEST(RunState, AMigrationsOwnSaysNothingOfTheGuest) {
  EXPECT_EQ(run_state_named("finish-migrate"), RunState::leaves);
  EXPECT_EQ(run_state_named("postmigrate"), RunState::left);
  EXPECT_EQ(run_state_named("inmigrate"), RunState::awaited);
}

TEST(RunState, WhatIsNotKnownIsNone) {
  EXPECT_FALSE(run_state_named(""));
  EXPECT_FALSE(run_state_named("Running"));
}

TEST(RunState, IsAskedFor) {
  Saying paused(json{{"status", "paused"}});
  EXPECT_EQ(ask_run_state(paused), RunState::stopped);
  for (const json& answer : {json{{"status", "new"}}, json{{"status", 1}}, json::object()}) {
    Saying qemu(answer);
    EXPECT_FALSE(ask_run_state(qemu)) << answer;
    EXPECT_FALSE(stopped_by_others(qemu)) << answer;
  }
  Saying ended(fail("it has ended"));
  EXPECT_FALSE(ask_run_state(ended));
  EXPECT_FALSE(stopped_by_others(ended));
}

TEST(RunState, SaysWhoStoppedTheGuest) {
  const auto by_others = [](const char* status) {
    Saying qemu(json{{"status", status}});
    return stopped_by_others(qemu);
  };
  EXPECT_EQ(by_others("paused"), RunState::stopped);
  EXPECT_EQ(by_others("debug"), RunState::bound);
  EXPECT_EQ(by_others("running"), RunState::live) << "it runs again already";
  EXPECT_FALSE(by_others("finish-migrate"));
  EXPECT_FALSE(by_others("postmigrate"));
}

}  // namespace
}  // namespace wherry::qemu
