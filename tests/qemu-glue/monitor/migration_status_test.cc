#include "qemu-glue/monitor/migration_status.h"

#include <gtest/gtest.h>

namespace wherry::qemu {
namespace {

using Phase = MigrationPhase;

Phase phase(const char* status) {
  return phase_of({{"status", status}});
}

TEST(MigrationStatus, IsOfAnAnswerToQueryMigrate) {
  EXPECT_EQ(phase_of({}), Phase::none) << "QEMU omits the status before the first migration";
  EXPECT_EQ(phase_of({{"status", 1}}), Phase::none);
  EXPECT_EQ(phase("active"), Phase::active);
}

TEST(MigrationStatus, WhatEndsIsKnownByItsName) {
  for (const char* over : {"none", "completed", "failed", "cancelled", "postcopy-paused"})
    EXPECT_TRUE(is_over(phase(over))) << over;
  for (const char* on_the_way : {"setup", "active", "pre-switchover", "device", "postcopy-device",
                                 "postcopy-active", "postcopy-recover", "cancelling", "failing", "colo"})
    EXPECT_FALSE(is_over(phase(on_the_way))) << on_the_way;
  EXPECT_FALSE(is_over(phase("what QEMU 20 has")));
  EXPECT_FALSE(phase_named("what QEMU 20 has"));
}

TEST(MigrationStatus, APhaseHasQemusName) {
  for (const char* name : {"none", "setup", "active", "pre-switchover", "device", "postcopy-active",
                           "postcopy-paused", "cancelling", "completed", "failed", "cancelled"})
    EXPECT_EQ(name_of(phase(name)), name);
}

TEST(MigrationStatus, InPostcopyTheGuestIsGoneOnlyWhenItRunsThere) {
  EXPECT_EQ(phase("postcopy-device"), Phase::switches);
  EXPECT_EQ(phase("postcopy-active"), Phase::shared);
}

TEST(MigrationStatus, WhatIsOnTheWayToAnEndIsNone) {
  EXPECT_EQ(phase("failing"), Phase::gives_up);
  EXPECT_EQ(phase("cancelling"), Phase::gives_up);
}

}  // namespace
}  // namespace wherry::qemu
