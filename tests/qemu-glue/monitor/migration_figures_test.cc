#include "qemu-glue/monitor/migration_figures.h"

#include <gtest/gtest.h>

namespace wherry::qemu {
namespace {

using nlohmann::json;

TEST(MigrationFigures, AreThoseOfQueryMigrate) {
  const MigrationFigures figures = figures_of({{"status", "active"},
                                               {"cpu-throttle-percentage", 40},
                                               {"ram",
                                                {{"remaining", 5918720},
                                                 {"dirty-sync-count", 16},
                                                 {"dirty-pages-rate", 1000},
                                                 {"page-size", 8192},
                                                 {"mbps", 32.0}}}});
  EXPECT_EQ(figures.phase, MigrationPhase::active);
  EXPECT_EQ(figures.passes, 16u);
  EXPECT_EQ(figures.remaining, 5918720);
  EXPECT_EQ(figures.page_size, 8192u);
  EXPECT_EQ(figures.dirty_rate(), 8'192'000);
  EXPECT_EQ(figures.rate, 4e6);
  EXPECT_EQ(figures.auto_converge, 0.4);
  EXPECT_FALSE(figures.downtime_ms);
  EXPECT_EQ(figures.error, "");
}

TEST(MigrationFigures, OfAnEnd) {
  EXPECT_EQ(figures_of({{"status", "completed"}, {"downtime", 125}}).downtime_ms, 125);
  EXPECT_EQ(figures_of({{"status", "failed"}, {"error-desc", "no route"}}).error, "no route");
}

TEST(MigrationFigures, WhatIsMissingOrNoSuchThingIsLeftOut) {
  for (const json& answer : {json(), json(7), json::object(), json{{"status", "none"}, {"ram", 5}},
                             json{{"ram", {{"remaining", "much"}, {"mbps", json()}}}},
                             json{{"downtime", "long"}, {"error-desc", 1}}}) {
    const MigrationFigures figures = figures_of(answer);
    EXPECT_EQ(figures.phase, MigrationPhase::none) << answer;
    EXPECT_EQ(figures.remaining, 0) << answer;
    EXPECT_EQ(figures.rate, 0) << answer;
    EXPECT_FALSE(figures.page_size) << answer;
    EXPECT_FALSE(figures.downtime_ms) << answer;
    EXPECT_EQ(figures.error, "") << answer;
  }
  EXPECT_EQ(figures_of({{"ram", {{"dirty-pages-rate", 10}}}}).dirty_rate(), 40960) << "a page of 4 KiB";
}

TEST(MigrationFigures, WhatVfioDevicesHaveLeftCountsWhereQemuSaysIt) {
  json answer = {{"status", "active"},
                 {"remaining", 900e6},
                 {"ram", {{"dirty-sync-count", 1}, {"remaining", 500e6}, {"mbps", 800}}}};
  EXPECT_EQ(figures_of(answer).remaining, 500e6) << "that of RAM is newer";
  answer["vfio"] = {{"transferred", 1}};
  EXPECT_EQ(figures_of(answer).remaining, 900e6);
  answer["remaining"] = 100e6;
  EXPECT_EQ(figures_of(answer).remaining, 500e6) << "not computed again since a pass began";
  answer.erase("remaining");
  EXPECT_EQ(figures_of(answer).remaining, 500e6) << "a QEMU before 11.1";
}

}  // namespace
}  // namespace wherry::qemu
