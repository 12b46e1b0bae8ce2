#include "qemu-glue/source/intake.h"

#include <gtest/gtest.h>
#include <sys/un.h>

#include <future>

#include "tests/base/expect_error.h"
#include "tests/transport/support.h"

namespace wherry {
namespace {

class IntakeTest : public testing::Test {
 protected:
  // Each connection is `taken_`, or ends so.
  void open(std::function<Result<>(Fd)> take) {
    auto opened = Intake::open({.at = {.path = directory_.at("qemu"), .host = {}},
                                .user = {},
                                .silence = std::chrono::seconds(1),
                                .take = std::move(take)},
                               ending_, failure_);
    ASSERT_TRUE(opened) << opened.error().message;
    intake_ = std::move(*opened);
  }
  Fd connect() const {
    sockaddr_un address{AF_UNIX, {}};
    intake_->where().path.copy(address.sun_path, sizeof address.sun_path - 1);
    Fd made(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(made.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return made;
  }

  const test::Watchdog watchdog_{"an intake"};
  const test::TempDir directory_;
  qemu::Ending ending_;
  Failure failure_;
  std::unique_ptr<Intake> intake_;
};

TEST_F(IntakeTest, TakesWhatComes) {
  std::promise<Fd> taken;
  open([&](Fd connection) -> Result<> {
    taken.set_value(std::move(connection));
    return {};
  });
  ASSERT_TRUE(intake_->start());
  const Fd qemu = connect();
  const Fd here = taken.get_future().get();
  ASSERT_EQ(::send(here.get(), "x", 1, 0), 1);
  char byte = 0;
  EXPECT_EQ(::recv(qemu.get(), &byte, 1, 0), 1);
}

TEST_F(IntakeTest, WhatWaitsCanBeTakenByHand) {
  open([](Fd) -> Result<> { return {}; });
  auto none = intake_->next_waiting();
  ASSERT_TRUE(none) << none.error().message;
  EXPECT_FALSE(*none);
  const Fd qemu = connect();
  EXPECT_TRUE(*intake_->next_waiting());
}

TEST_F(IntakeTest, AConnectionThatCannotBeTakenEndsTheMigration) {
  open([](Fd) -> Result<> { return fail("no room"); });
  ASSERT_TRUE(intake_->start());
  const Fd qemu = connect();
  EXPECT_EQ(test::read_all(qemu.get()), "");
  intake_->end();
  ASSERT_TRUE(failure_.failed());
  EXPECT_ERROR(failure_.first(), "no room");
}

TEST_F(IntakeTest, OrItselfOnceThatIsTheQemusAffair) {
  ASSERT_TRUE(ending_.may_have_it());
  open([](Fd) -> Result<> { return fail("no room"); });
  ASSERT_TRUE(intake_->start());
  for (int i = 0; i < 2; ++i) {
    const Fd qemu = connect();
    EXPECT_EQ(test::read_all(qemu.get()), "") << "QEMU has to know";
  }
  EXPECT_FALSE(failure_.failed());
}

TEST_F(IntakeTest, AnAddressThatCannotBeListenedAtIsAnError) {
  EXPECT_ERROR(Intake::open({.at = {.path = directory_.at("no/where"), .host = {}},
                             .user = {},
                             .silence = std::chrono::seconds(1),
                             .take = [](Fd) -> Result<> { return {}; }},
                            ending_, failure_),
               "no/where");
}

}  // namespace
}  // namespace wherry
