// With a QEMU that only has parameters and capabilities, and lanes that are said to do something.
#include "qemu-glue/convergence/convergence.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "qemu-glue/convergence/dirty_limit.h"
#include "qemu-glue/convergence/qemu_mark.h"
#include "qemu-glue/convergence/qmp_source.h"
#include "tests/base/expect_error.h"
#include "tests/qemu-glue/convergence/alone.h"
#include "tests/qemu-glue/convergence/fake_qemu.h"
#include "tests/qemu-glue/convergence/kept_source.h"

namespace wherry::convergence {
namespace {

using nlohmann::json;

class ConvergenceTest : public testing::Test {
 protected:
  ConvergenceTest() { uri_.throttle_most = 0; }
  void begin() {
    // No process: no control groups.
    auto begun = Convergence::begin(source_, 0, uri_, [this] { return lanes_; });
    ASSERT_TRUE(begun) << begun.error().message;
    convergence_ = std::move(*begun);
  }
  // QEMU sends what it has left.
  void may_slow() {
    uri_.throttle_most = 0.5;
    lanes_.in_flight = 1;
  }
  Result<> look(uint64_t passes, double remaining, double mbps = 800, int throttle = 0) {
    qemu::MigrationFigures figures;
    figures.phase = qemu::MigrationPhase::active;
    figures.passes = passes;
    figures.remaining = remaining;
    figures.rate = mbps * 1e6 / 8;
    figures.auto_converge = throttle / 100.0;
    auto looked = convergence_->look(figures);
    if (!looked) return pass_on(looked);
    return {};
  }
  // Passes that all leave as much as the one before.
  Result<> look_until_out_of_reach() {
    for (uint64_t pass = 1; pass < 100; ++pass) {
      if (auto looked = look(pass, 1e9); !looked || !convergence_->state().messages.empty()) return looked;
    }
    return fail("nothing was said");
  }

  const Alone alone_;
  FakeQemu qemu_;
  QmpSource source_{qemu_};
  KeptSource kept_{qemu_};
  Uri uri_;
  Lanes lanes_{.landing = 100e6, .goodput = 200e6, .link = 200e6};
  std::unique_ptr<Convergence> convergence_;
};

TEST_F(ConvergenceTest, NextToNothingMayRemainUntilTheLanesHaveShownWhatTheyCan) {
  begin();
  EXPECT_EQ(qemu_.parameters["downtime-limit"], 1) << "QEMU takes 0 for no time at all";
  lanes_.goodput = 0;
  ASSERT_TRUE(look(1, 1e9));
  EXPECT_EQ(qemu_.parameters["downtime-limit"], 1);
}

TEST_F(ConvergenceTest, NorWhileTheirFirstBytesAreAllThatTheyHaveShown) {
  begin();
  lanes_.goodput = 1423;
  ASSERT_TRUE(look(1, 1e9, 0));
  EXPECT_EQ(qemu_.parameters["downtime-limit"], 1) << "QEMU has not measured its rate yet";
  lanes_.bound = 1e6;
  ASSERT_TRUE(look(1, 1e9, 0.001));
  EXPECT_EQ(qemu_.parameters["downtime-limit"], 1) << "more than may remain is on its way";
}

TEST_F(ConvergenceTest, ParametersArePutBack) {
  for (const bool takes_rate : {false, true}) {
    if (takes_rate) qemu_.parameters["avail-switchover-bandwidth"] = 0;
    const json before = qemu_.parameters;
    begin();
    ASSERT_TRUE(look(1, 1e9));
    EXPECT_NE(qemu_.parameters, before);
    convergence_.reset();
    EXPECT_EQ(qemu_.parameters, before);
  }
}

TEST_F(ConvergenceTest, AnOldQemuHasItsLimitForTheFastestThatItSent) {
  begin();
  ASSERT_TRUE(look(1, 1e9, 1600));
  ASSERT_TRUE(look(1, 1e9, 80));
  // 0.8 of what lands in 300 - 10 ms at 100 MB/s, as QEMU reckons it at 200 MB/s.
  EXPECT_EQ(qemu_.parameters["downtime-limit"], 116);
}

TEST_F(ConvergenceTest, ANewerOneIsToldTheRate) {
  qemu_.parameters["avail-switchover-bandwidth"] = 0;
  begin();
  ASSERT_TRUE(look(1, 1e9));
  EXPECT_EQ(qemu_.parameters["downtime-limit"], 290);
  EXPECT_EQ(qemu_.parameters["avail-switchover-bandwidth"], 80'000'000);
}

TEST_F(ConvergenceTest, WhatTheDoorAddsIsExpectedAndAllowedFor) {
  qemu_.parameters["avail-switchover-bandwidth"] = 0;
  lanes_.round_trip = std::chrono::milliseconds(10);
  begin();
  // What has landed in the first moment may be the stream's header.
  const auto look_until_predicted = [this] {
    EXPECT_TRUE(look(1, 1e9));
    std::this_thread::sleep_for(std::chrono::milliseconds(310));
    EXPECT_TRUE(look(1, 1e9));
    return convergence_->state().predicted;
  };
  const auto without = look_until_predicted();
  ASSERT_TRUE(without);
  EXPECT_EQ(qemu_.parameters["downtime-limit"], 260) << "three round trips";
  convergence_.reset();
  const Door door{.takes = {.pages = 0.002, .start = 0.008}, .round_trips = 1};
  auto begun = Convergence::begin(
      source_, 0, uri_, [this] { return lanes_; }, door);
  ASSERT_TRUE(begun) << begun.error().message;
  convergence_ = std::move(*begun);
  const auto with = look_until_predicted();
  ASSERT_TRUE(with);
  EXPECT_EQ(qemu_.parameters["downtime-limit"], 240);
  EXPECT_NEAR(with->pages, without->pages + 0.002, 0.001);
  EXPECT_NEAR(with->placed, without->placed, 0.001);
  EXPECT_NEAR(with->start, without->start + 0.008 + 0.01, 0.0001);
}

TEST_F(ConvergenceTest, ARefusalAtTheBeginIsAnError) {
  qemu_.refuses = {"migrate-set-parameters"};
  EXPECT_FALSE(Convergence::begin(source_, 0, uri_, [this] { return lanes_; }));
}

TEST_F(ConvergenceTest, ALaterOneIsSaidOnceAndEndsNothing) {
  begin();
  qemu_.refuses = {"migrate-set-parameters"};
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(look(1, 1e9));
  const auto messages = convergence_->state().messages;
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_ERROR(messages[0], "migrate-set-parameters", "refused");
}

TEST_F(ConvergenceTest, WhatIsOutOfReachIsSaid) {
  begin();
  ASSERT_TRUE(look_until_out_of_reach());
  const auto messages = convergence_->state().messages;
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_ERROR(messages[0], "300 ms is out of reach", "downtime=10010ms");
}

TEST_F(ConvergenceTest, AbortEndsTheMigration) {
  uri_.on_miss = OnMiss::abort;
  begin();
  EXPECT_ERROR(look_until_out_of_reach(), "on-miss=abort");
}

TEST_F(ConvergenceTest, PauseLetsTheGuestBeAwayForAsLongAsItTakes) {
  uri_.on_miss = OnMiss::pause;
  begin();
  ASSERT_TRUE(look_until_out_of_reach());
  EXPECT_EQ(qemu_.parameters["downtime-limit"], 2'000'000);
  ASSERT_TRUE(look(100, 1e9));
  EXPECT_EQ(qemu_.parameters["downtime-limit"], 2'000'000);
}

TEST_F(ConvergenceTest, PostcopyBegins) {
  uri_.on_miss = OnMiss::postcopy;
  begin();
  ASSERT_TRUE(look_until_out_of_reach());
  EXPECT_EQ(std::count(qemu_.commands.begin(), qemu_.commands.end(), "migrate-start-postcopy"), 1);
}

TEST_F(ConvergenceTest, AGuestThatMayNotBeSlowedIsLeftAlone) {
  begin();
  EXPECT_EQ(std::count(qemu_.commands.begin(), qemu_.commands.end(), "migrate-set-capabilities"), 0);
  EXPECT_EQ(convergence_->state().throttle.by, "");
  EXPECT_TRUE(convergence_->state().messages.empty());
}

TEST_F(ConvergenceTest, WithoutControlGroupsQemuSlowsTheGuest) {
  may_slow();
  begin();
  EXPECT_EQ(convergence_->state().throttle.by, "auto-converge");
  EXPECT_ERROR(convergence_->state().throttle.reason, "dirty-limit: ", "'dirty-ring-size'",
               "; vcpu-quota: QEMU's process cannot be seen");
  for (uint64_t pass = 1; pass < 5; ++pass) ASSERT_TRUE(look(pass, 1e9));
  EXPECT_EQ(qemu_.parameters["max-cpu-throttle"], 50);
  ASSERT_TRUE(convergence_->state().throttle.percent);
  EXPECT_EQ(convergence_->state().throttle.percent->now, 0) << "as QEMU says";
  ASSERT_TRUE(look(5, 1e9, 800, 50));
  EXPECT_EQ(convergence_->state().throttle.percent->now, 50);
  convergence_.reset();
  EXPECT_FALSE(qemu_.auto_converge);
  EXPECT_EQ(qemu_.parameters["max-cpu-throttle"], 80);
}

TEST_F(ConvergenceTest, NothingIsOutOfReachBeforeAPassHadAllOfTheThrottle) {
  may_slow();
  begin();
  for (uint64_t pass = 1; pass < 30; ++pass) ASSERT_TRUE(look(pass, 1e9, 800, pass < 20 ? 20 : 50));
  const auto messages = convergence_->state().messages;
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_ERROR(messages[0], "out of reach", "slowed by 50 %");
  convergence_.reset();
  begin();
  for (uint64_t pass = 1; pass <= 20; ++pass) ASSERT_TRUE(look(pass, 1e9, 800, pass < 20 ? 20 : 50));
  EXPECT_TRUE(convergence_->state().messages.empty());
}

TEST_F(ConvergenceTest, WhereADirtyLimitIsNotEnoughTheNextIsTaken) {
  may_slow();
  qemu_.rates = {100};
  begin();
  EXPECT_EQ(convergence_->state().throttle.by, "dirty-limit");
  EXPECT_EQ(convergence_->state().throttle.reason, "");
  uint64_t limit = 0;
  uint64_t pass = 1;
  for (; pass < 20 && qemu_.limit; ++pass) {
    ASSERT_TRUE(look(pass, 1e9, 800, 50));
    if (qemu_.limit) limit = *qemu_.limit;
  }
  EXPECT_EQ(limit, 50u);
  EXPECT_FALSE(qemu_.limit);
  EXPECT_EQ(convergence_->state().throttle.by, "auto-converge");
  EXPECT_ERROR(convergence_->state().throttle.reason, "dirty-limit: not enough",
               "; vcpu-quota: QEMU's process cannot be seen");
  EXPECT_TRUE(convergence_->state().messages.empty());
  for (const uint64_t then = pass; pass < then + 10; ++pass) ASSERT_TRUE(look(pass, 1e9, 800, 50));
  EXPECT_EQ(convergence_->state().messages.size(), 1u) << "the last is not enough either";
}

TEST_F(ConvergenceTest, WhereNothingSlowsTheGuestEachReasonIsSaid) {
  uri_.throttle_most = 0.5;
  qemu_.refuses = {"migrate-set-capabilities"};
  begin();
  const auto messages = convergence_->state().messages;
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_ERROR(messages[0], "cannot be slowed", "dirty-limit: ", "'dirty-ring-size'",
               "; vcpu-quota: ", "; auto-converge: migrate-set-capabilities: refused");
}

TEST_F(ConvergenceTest, WhatAKilledOneLeftInQemuIsTakenAway) {
  qemu_.auto_converge = true;
  for (const char* name : {"cpu-throttle-initial", "max-cpu-throttle"}) qemu_.parameters[name] = 70;
  qemu_.parameters["cpu-throttle-increment"] = 99;
  begin();
  EXPECT_FALSE(qemu_.auto_converge);
  EXPECT_EQ(qemu_.parameters["max-cpu-throttle"], 99);
}

TEST_F(ConvergenceTest, TheEndOfTheGuestHereIsPredictedForWhenItStopped) {
  begin();
  ASSERT_TRUE(look(1, 500e6));
  EXPECT_FALSE(convergence_->state().predicted) << "what landed so far may be the stream's header";
  std::this_thread::sleep_for(std::chrono::milliseconds(310));
  ASSERT_TRUE(look(1, 500e6));
  ASSERT_TRUE(convergence_->state().predicted);
  EXPECT_NEAR(convergence_->state().predicted->total(), 5.004, 0.001);
  qemu_.stopped(0);
  EXPECT_LT(convergence_->state().predicted->total(), 0.3) << "QEMU stops at no more than it was told";
  EXPECT_TRUE(convergence_->state().stopped);
  const double then = convergence_->state().predicted->total();
  for (const uint64_t passes : {1, 2}) {
    ASSERT_TRUE(look(passes, 900e6));
    EXPECT_EQ(convergence_->state().predicted->total(), then) << "a look at a guest that is stopped";
  }
  ASSERT_TRUE(look(3, 900e6));
  EXPECT_NE(convergence_->state().predicted->total(), then) << "it was stopped by somebody, and goes on";
}

TEST_F(ConvergenceTest, AStopOfSomebodyElsesIsNoSwitchover) {
  begin();
  ASSERT_TRUE(look(1, 500e6));
  for (const char* status : {"finish-migrate", "postmigrate"}) {
    qemu_.status = status;
    qemu_.stopped(0);
    ASSERT_TRUE(look(1, 500e6));
    EXPECT_TRUE(convergence_->state().stopped) << status;
  }
  qemu_.status = "paused";
  qemu_.stopped(0);
  ASSERT_TRUE(look(1, 400e6));
  EXPECT_FALSE(convergence_->state().stopped);
  EXPECT_EQ(convergence_->state().remaining, 400'000'000u) << "the migration goes on";
}

TEST_F(ConvergenceTest, WhereNobodySaysWhoStoppedItAStopIsTheSwitchover) {
  auto begun = Convergence::begin(kept_, 0, uri_, [this] { return lanes_; });
  ASSERT_TRUE(begun) << begun.error().message;
  convergence_ = std::move(*begun);
  qemu_.status = "paused";
  ASSERT_TRUE(look(1, 500e6));
  qemu_.stopped(0);
  ASSERT_TRUE(look(1, 400e6));
  EXPECT_TRUE(convergence_->state().stopped);
  EXPECT_EQ(convergence_->state().remaining, 500'000'000u);
}

// With this process as the QEMU, whose mark is looked for.
TEST_F(ConvergenceTest, WhatAKilledOneLeftIsSetBack) {
  const pid_t killed = ::fork();
  if (killed == 0) {
    QemuMark mark(::getppid(), {{"downtime-limit", 300}});
    mark.set_throttle(DirtyLimit::kName);
    ::kill(::getpid(), SIGKILL);
  }
  ASSERT_EQ(::waitpid(killed, nullptr, 0), killed);
  if (::geteuid() != 0 && QemuMark::abandoned().empty()) GTEST_SKIP() << "no directory for marks: be root";
  qemu_.limit = 7;
  qemu_.parameters["downtime-limit"] = 1;
  qemu_.refuses = {"cancel-vcpu-dirty-limit"};
  ASSERT_TRUE(Convergence::begin(source_, ::getpid(), uri_, [this] { return lanes_; }));
  EXPECT_EQ(QemuMark::abandoned().size(), 1u) << "it is still there";
  qemu_.refuses = {};
  ASSERT_TRUE(Convergence::begin(source_, ::getpid(), uri_, [this] { return lanes_; }));
  EXPECT_FALSE(qemu_.limit);
  EXPECT_EQ(qemu_.parameters["downtime-limit"], 300) << "by that one, and the one after it";
  EXPECT_TRUE(QemuMark::abandoned().empty());
}

}  // namespace
}  // namespace wherry::convergence
