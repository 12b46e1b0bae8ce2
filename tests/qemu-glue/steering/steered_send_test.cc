// Whole migrations between two scripted QEMUs, and what the source's says of them beside its stream.
#include "qemu-glue/steering/steered_send.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "tests/base/expect_error.h"
#include "tests/qemu-glue/convergence/alone.h"
#include "tests/qemu-glue/monitor/fake_monitor.h"
#include "tests/qemu-glue/scripted_destination.h"
#include "tests/qemu-glue/scripted_source.h"
#include "tests/qemu-glue/steering/scripted_access.h"
#include "tests/qemu-glue/wherry_pair.h"
#include "tests/transport/support.h"

namespace wherry {
namespace {

using qemu::test::Act;
using qemu::test::Opaque;
using qemu::test::Place;
using qemu::test::Script;

class SteeredSendTest : public testing::Test {
 protected:
  SteeredSendTest() {
    EXPECT_TRUE(receiver_.open());
    receiving_ = std::async(std::launch::async, [this] { (void)receiver_.run(); });
    options_.uri = qemu::test::pair_uri(receiver_.listener().where().port, Place::relay);
    options_.uri.throttle_most = 0;
    qemu_.answers["query-migrate"] = {{{"status", "completed"}, {"downtime", 12}}};
  }
  ~SteeredSendTest() override { receiver_failure_.fail({"the test is over"}); }

  // The guest goes to the destination.
  Report migrate(const Script& script) {
    SteeredSend migration(options_, failure_);
    const auto opened = migration.open();
    EXPECT_TRUE(opened) << opened.error().message;
    qemu::test::ScriptedSource source(script);
    qemu::test::ScriptedDestination destination(directory_.at("to"), script, source);
    source.start(directory_.at("from"));
    migration.run();
    EXPECT_EQ(source.conclusion(), "completed");
    EXPECT_EQ(destination.conclusion(), "has_guest");
    return migration.conclude();
  }
  // A way to QEMU that is there once its process is known.
  void reach(SourceAccess::Manner manner) {
    options_.access = [this, manner](pid_t process) -> Result<std::unique_ptr<SourceAccess>> {
      process_ = process;
      return std::make_unique<test::ScriptedAccess>(qemu_, manner);
    };
  }

  const convergence::Alone alone_;
  const test::Watchdog watchdog_{"a migration that is steered"};
  const test::TempDir directory_;
  const Script plain_{.acts = {{Act::Kind::shut0}}};
  Failure receiver_failure_;
  Failure failure_;
  Receiver receiver_{{.listen = qemu::test::pair_uri(0, Place::relay),
                      .qemu = {.path = directory_.at("to"), .host = {}},
                      .memory = qemu::test::open_scripted_ram},
                     receiver_failure_};
  std::future<void> receiving_;
  SteeredSend::Options options_{.qemu = {.path = directory_.at("from"), .host = {}}, .uri = {}};
  test::ScriptedMonitor qemu_;
  std::atomic<pid_t> process_ = 0;
};

TEST_F(SteeredSendTest, WithoutAWayToQemuItIsASender) {
  const Report report = migrate(plain_);
  EXPECT_EQ(report.status(), "completed") << report.error();
  EXPECT_FALSE(report.downtime.switchover_ms);
}

TEST_F(SteeredSendTest, AnotherWayIsOpenedOnceQemuHasCome) {
  reach({.speaks_for_both = true});
  const Report report = migrate(plain_);
  EXPECT_EQ(report.status(), "completed") << report.error();
  EXPECT_EQ(process_, ::getpid()) << "the scripted QEMU is this process";
  // In so short a migration it may come too late.
  if (qemu_.was_told("query-migrate")) {
    EXPECT_EQ(report.downtime.switchover_ms, 12.0);
  }
}

TEST_F(SteeredSendTest, WhatCannotBeReachedIsLeftToItself) {
  options_.access = [](pid_t) -> Result<std::unique_ptr<SourceAccess>> { return fail("not here"); };
  const Report report = migrate(plain_);
  EXPECT_EQ(report.status(), "completed") << report.error();
  EXPECT_FALSE(report.downtime.switchover_ms);
}

TEST_F(SteeredSendTest, AMonitorSteersFromTheBeginningAndSaysHowItWent) {
  qemu_.answers["query-migrate-parameters"] = {{{"downtime-limit", 500}}};
  qemu_.answers["query-target"] = {{{"arch", "x86_64"}}};
  qemu_.answers["query-migrate-capabilities"] = {
      nlohmann::json::array({{{"capability", "return-path"}, {"state", true}}})};
  test::FakeMonitor monitor([this](test::Peer& peer) {
    peer.negotiate();
    for (auto command = peer.hear(); !command.is_null(); command = peer.hear())
      peer.answer(command, *qemu_.execute(command["execute"].get<std::string>(),
                                          command.value("arguments", nlohmann::json()), {}));
  });
  options_.monitor = monitor.path();
  // Encrypted, so that the stream does not tell how it ends.
  const Report report = migrate({.opaque = Opaque::start, .acts = {{Act::Kind::shut0}}});
  EXPECT_EQ(report.status(), "completed") << report.error();
  EXPECT_EQ(report.downtime.switchover_ms, 12.0);
  monitor.join();
  const auto told = std::find_if(qemu_.told.rbegin(), qemu_.told.rend(),
                                 [](const auto& each) { return each.name == "migrate-set-parameters"; });
  ASSERT_NE(told, qemu_.told.rend());
  EXPECT_EQ(told->arguments["downtime-limit"], 500) << "as it was";
}

TEST_F(SteeredSendTest, AMonitorThatIsNotThereIsAnErrorAtOnce) {
  options_.monitor = directory_.at("nobody");
  SteeredSend migration(options_, failure_);
  EXPECT_ERROR(migration.open(), "nobody");
}

}  // namespace
}  // namespace wherry
