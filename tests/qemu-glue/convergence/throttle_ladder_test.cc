// The ladder without QEMU or control groups. How each throttle acts is in its own test.
#include "qemu-glue/convergence/throttle_ladder.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "qemu-glue/convergence/qmp_source.h"
#include "tests/base/expect_error.h"
#include "tests/qemu-glue/convergence/alone.h"
#include "tests/qemu-glue/convergence/fake_qemu.h"
#include "tests/qemu-glue/convergence/kept_source.h"

namespace wherry::convergence {
namespace {

constexpr const char* kUnseen = "vcpu-quota: QEMU's process cannot be seen from here";

class ThrottleLadderTest : public testing::Test {
 protected:
  static qemu::MigrationFigures in_pass(uint64_t pass, double auto_converge = 0) {
    qemu::MigrationFigures figures;
    figures.passes = pass;
    figures.auto_converge = auto_converge;
    return figures;
  }
  static bool is_marked() {
    std::error_code error;
    for (const auto& each : std::filesystem::directory_iterator(QemuMark::usual_directory(), error)) {
      if (each.path().filename().string().starts_with(std::to_string(::getpid()) + "-")) return true;
    }
    return false;
  }

  const Alone alone_;
  FakeQemu qemu_;
  QmpSource source_{qemu_};
};

TEST_F(ThrottleLadderTest, TheFirstThatCanBeTakenIsTheBest) {
  qemu_.rates = {100};
  ThrottleLadder ladder(source_, 0, {});
  EXPECT_EQ(ladder.throttle(), nullptr);
  ASSERT_TRUE(ladder.take_next());
  EXPECT_NE(ladder.throttle(), nullptr);
  EXPECT_EQ(ladder.by(), "dirty-limit");
  EXPECT_EQ(ladder.reason(), "");
}

TEST_F(ThrottleLadderTest, ReasonsSayWhyNoBetterOneIsTaken) {
  ThrottleLadder ladder(source_, 0, {});
  ASSERT_TRUE(ladder.take_next());
  EXPECT_EQ(ladder.by(), "auto-converge");
  EXPECT_EQ(
      ladder.reason(),
      std::string("dirty-limit: set-vcpu-dirty-limit: requires KVM with 'dirty-ring-size' set; ") + kUnseen);
  EXPECT_FALSE(ladder.take_stronger(3)) << "it is the last";
  EXPECT_EQ(ladder.by(), "auto-converge");
}

TEST_F(ThrottleLadderTest, WithoutAMonitorOnlyQuotasAreLeft) {
  KeptSource kept(qemu_);
  ThrottleLadder ladder(kept, 0, {});
  EXPECT_FALSE(ladder.take_next());
  EXPECT_EQ(ladder.throttle(), nullptr);
  EXPECT_EQ(ladder.by(), "");
  EXPECT_EQ(ladder.reason(), std::string("dirty-limit: no way to set-vcpu-dirty-limit; ") + kUnseen +
                                 "; auto-converge: no way to query-migrate-capabilities");
  EXPECT_TRUE(ladder.slow(0.5, false, in_pass(1))) << "there is nothing to do";
}

TEST_F(ThrottleLadderTest, ADirtyLimitThatIsNotEnoughMakesWay) {
  qemu_.rates = {100};
  ThrottleLadder ladder(source_, 0, {});
  ASSERT_TRUE(ladder.take_next());
  ASSERT_TRUE(ladder.slow(0.5, false, in_pass(2)));
  EXPECT_EQ(ladder.holds(), 0.5);
  EXPECT_TRUE(ladder.held_for_a_pass(4));
  ASSERT_TRUE(ladder.take_stronger(4));
  EXPECT_EQ(ladder.by(), "auto-converge");
  EXPECT_EQ(ladder.reason(), std::string("dirty-limit: not enough; ") + kUnseen);
  EXPECT_FALSE(qemu_.limit);
  EXPECT_TRUE(qemu_.auto_converge);
  EXPECT_FALSE(ladder.held_for_a_pass(5)) << "that pass began without it";
  EXPECT_TRUE(ladder.held_for_a_pass(6));
}

TEST_F(ThrottleLadderTest, ADirtyLimitStaysWhereThereIsNothingElse) {
  qemu_.rates = {100};
  qemu_.refuses = {"migrate-set-capabilities"};
  ThrottleLadder ladder(source_, 0, {});
  ASSERT_TRUE(ladder.take_next());
  ASSERT_TRUE(ladder.slow(0.5, false, in_pass(2)));
  EXPECT_FALSE(ladder.take_stronger(4));
  EXPECT_EQ(ladder.by(), "dirty-limit");
  EXPECT_TRUE(qemu_.limit);
}

TEST_F(ThrottleLadderTest, APassInWhichTheThrottleLaggedDoesNotCount) {
  ThrottleLadder ladder(source_, 0, {});
  ASSERT_TRUE(ladder.take_next());
  ASSERT_TRUE(ladder.slow(0.5, false, in_pass(7, 0.2)));
  EXPECT_EQ(ladder.holds(), 0.2);
  EXPECT_FALSE(ladder.held_for_a_pass(8));
  ASSERT_TRUE(ladder.slow(0.5, false, in_pass(8, 0.495)));
  EXPECT_TRUE(ladder.held_for_a_pass(9)) << "close enough";
  ASSERT_TRUE(ladder.slow(0.9, true, in_pass(9, 0.5)));
  EXPECT_TRUE(ladder.held_for_a_pass(9)) << "QEMU stops the guest, which is not to be slowed now";
  EXPECT_EQ(qemu_.parameters["max-cpu-throttle"], 50);
}

TEST_F(ThrottleLadderTest, AThrottleThatFailsEnds) {
  qemu_.rates = {100};
  ThrottleLadder ladder(source_, 0, {});
  ASSERT_TRUE(ladder.take_next());
  ASSERT_TRUE(ladder.slow(0.5, false, in_pass(2)));
  qemu_.refuses = {"set-vcpu-dirty-limit"};
  EXPECT_ERROR(ladder.slow(0.6, false, in_pass(3)), "set-vcpu-dirty-limit", "refused");
  EXPECT_EQ(ladder.throttle(), nullptr);
  EXPECT_EQ(ladder.holds(), 0);
  EXPECT_EQ(ladder.by(), "dirty-limit") << "which it was";
  EXPECT_FALSE(qemu_.limit);
  ladder.let_stop();
}

// With this process as the QEMU.
TEST_F(ThrottleLadderTest, AMarkTellsOfAThrottleThatQemuHas) {
  qemu_.rates = {100};
  {
    ThrottleLadder ladder(source_, ::getpid(), {.downtime_ms = 300, .bandwidth = {}});
    ASSERT_TRUE(ladder.take_next());
    EXPECT_TRUE(is_marked() || ::geteuid() != 0);
  }
  EXPECT_FALSE(is_marked());
}

}  // namespace
}  // namespace wherry::convergence
