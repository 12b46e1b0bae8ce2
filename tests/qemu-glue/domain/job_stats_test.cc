#include "qemu-glue/domain/job_stats.h"

#include <gtest/gtest.h>

namespace wherry::domain {
namespace {

TEST(JobStats, AreLibvirtsFigures) {
  TypedParams params;
  params.add("operation", int{VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT});
  for (const auto& [name, value] : {std::pair<const char*, uint64_t>{"time_elapsed", 2500},
                                    {"data_total", 1000},
                                    {"data_processed", 600},
                                    {"data_remaining", 500},
                                    {"memory_bps", 90000},
                                    {"disk_bps", 10000},
                                    {"memory_dirty_rate", 2},
                                    {"memory_page_size", 4096},
                                    {"memory_iteration", 3},
                                    {"downtime", 120}})
    params.add(name, value);
  EXPECT_TRUE(is_migration_out(params));
  const JobStats stats = JobStats::read(params);
  EXPECT_EQ(stats.elapsed_s, 2.5);
  EXPECT_EQ(stats.processed, 600U);
  EXPECT_EQ(stats.rate, 100000U);
  EXPECT_EQ(stats.dirty_rate, 8192U);
  EXPECT_EQ(stats.passes, 3U);
  EXPECT_EQ(stats.downtime_ms, 120);
  EXPECT_EQ(stats.percent(), 50U);
  EXPECT_NEAR(*stats.seconds_left(), 500.0 / (100000 - 8192), 1e-9);
}

TEST(JobStats, AreZeroWhereLibvirtGivesNone) {
  const TypedParams params;
  EXPECT_FALSE(is_migration_out(params));
  const JobStats stats = JobStats::read(params);
  EXPECT_EQ(stats.percent(), 0U);
  EXPECT_EQ(stats.seconds_left(), std::nullopt);
  EXPECT_EQ(stats.downtime_ms, std::nullopt);
}

TEST(JobStats, AreAHundredPercentOnlyAtTheEnd) {
  EXPECT_EQ((JobStats{.total = 1000000, .remaining = 1}.percent()), 99U);
  EXPECT_EQ((JobStats{.total = 1000000, .remaining = 0}.percent()), 100U);
  EXPECT_EQ((JobStats{.total = 10, .remaining = 20}.percent()), 0U);
}

TEST(JobStats, NothingIsKnownBeforePagesGo) {
  EXPECT_EQ((JobStats{.total = 1 << 30, .remaining = 1 << 30, .rate = 2280}.seconds_left()), std::nullopt);
}

TEST(JobStats, NoEndIsInSightOfAGuestThatIsTooFast) {
  EXPECT_EQ((JobStats{.total = 10, .remaining = 5, .rate = 100, .dirty_rate = 100}.seconds_left()),
            std::nullopt);
}

}  // namespace
}  // namespace wherry::domain
