#include "qemu-glue/source/way_back.h"

#include <gtest/gtest.h>

#include <optional>

#include "tests/transport/support.h"
#include "transport/socket/socket.h"

namespace wherry::qemu {
namespace {

using wherry::test::bytes_of;

// One channel's connection: `qemu_` is the source's QEMU's end.
class WayBackTest : public testing::Test {
 protected:
  WayBackTest() : watchdog_("a way back") {
    std::tie(wherry_, qemu_) = wherry::test::socket_pair();
    way_.emplace(wherry_.get(), [](const Error& why) { ADD_FAILURE() << why.message; });
    EXPECT_TRUE(way_->start());
  }
  wherry::test::Watchdog watchdog_;
  Fd wherry_;
  Fd qemu_;
  std::optional<WayBack> way_;
};

TEST_F(WayBackTest, WhatIsSaidArrivesBeforeTheEnd) {
  way_->push(bytes_of("pong "));
  way_->push(bytes_of("shut"));
  way_->close(true);
  EXPECT_EQ(wherry::test::read_all(qemu_.get()), "pong shut");
  await_takes_nothing(qemu_.get());
  EXPECT_TRUE(way_->closed_both_ways());
}

TEST_F(WayBackTest, AnEndOfOneDirectionLeavesTheOther) {
  way_->close(false);
  EXPECT_EQ(wherry::test::read_all(qemu_.get()), "");
  EXPECT_FALSE(takes_nothing(qemu_.get()));
  EXPECT_FALSE(way_->closed_both_ways());
  ASSERT_TRUE(send_all(qemu_.get(), bytes_of("more")));
  way_->close(true);
  await_takes_nothing(qemu_.get());
  EXPECT_EQ(wherry::test::read_all(wherry_.get()), "more");
}

TEST_F(WayBackTest, AnEndIsNotTakenBack) {
  way_->close(true);
  way_->close(false);
  await_takes_nothing(qemu_.get());
}

TEST_F(WayBackTest, AQemuThatHasLeftHoldsNobodyUp) {
  qemu_.reset();
  const std::vector<uint8_t> much(1 << 20, 'x');
  for (int i = 0; i < 64; ++i) way_->push(much);
  way_->drain(std::chrono::seconds(60));
}

TEST_F(WayBackTest, StopsWhereQemuDoesNotRead) {
  const std::vector<uint8_t> much(1 << 20, 'x');
  way_->push(much);
  ::shutdown(wherry_.get(), SHUT_RDWR);
  way_->stop();
  way_->drain(std::chrono::seconds(60));
}

}  // namespace
}  // namespace wherry::qemu
