#include "qemu-glue/look/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace wherry::look {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

json route(const char* peer) {
  return {{"peer", peer},
          {"used", true},
          {"progress",
           {{"passes", 3},
            {"now",
             {{"remaining", 1.5e9},
              {"goodput", 1.17e8},
              {"ratio", 2.5},
              {"dirty_rate", 2e6},
              {"throttle", 20},
              {"predicted_ms", 80},
              {"in_flight", 4e6}}}}}};
}

json status(json routes, json arrivals = json::array()) {
  return {{"routes", std::move(routes)}, {"arrivals", std::move(arrivals)}, {"libvirt_connections", 2}};
}

TEST(Table, ARowForEachMigrationByPeer) {
  json waiting = {{"peer", "hosta"}, {"used", false}, {"progress", json::object()}};
  EXPECT_THAT(table(status({route("hostc"), waiting}, {{{"peer", "10.0.0.2:4000"}}}), 1000, 100),
              ElementsAre("PEER           ROLE            PASS  REMAINING     GOODPUT  RATIO     DIRTY  "
                          "THROTTLE  DOWNTIME  IN FLIGHT",
                          "10.0.0.2:4000  destination        -          -           -      -         -       "
                          "  -         -          -",
                          "hosta          source       waiting          -           -      -         -       "
                          "  -         -          -",
                          "hostc          source             3     1.5 GB  117.0 MB/s   2.50  2.0 MB/s      "
                          "20 %     80 ms     4.0 MB",
                          "3 migrations, 2 connections to libvirt"));
}

TEST(Table, NothingIsSaid) {
  EXPECT_THAT(table(status(json::array()), 80, 24), ElementsAre("no migrations, 2 connections to libvirt"));
}

TEST(Table, FitsAnyTerminal) {
  const json many =
      status(json(50, route("a-rather-long-name-of-a-peer-which-is-more-than-forty.example.org")));
  for (size_t width = 0; width < 150; ++width) {
    for (const size_t height : {0, 1, 2, 10, 100}) {
      const auto lines = table(many, width, height);
      EXPECT_LE(lines.size(), std::max<size_t>(height, 1));
      for (const std::string& line : lines) EXPECT_LE(line.size(), width);
    }
  }
  EXPECT_THAT(table(many, 80, 10).back(),
              HasSubstr("50 migrations, 2 connections to libvirt, not all shown"));
  // Columns are left out whole, the least important first.
  EXPECT_THAT(table(many, 80, 10).front(), ::testing::EndsWith("GOODPUT"));
}

TEST(Table, HostileAnswers) {
  json one = route("a\x1b[2J\xe2\n b");
  one["progress"]["passes"] = "three";
  one["progress"]["now"]["goodput"] = 1e300;
  one["progress"]["now"]["ratio"] = -1;
  const auto lines = table(status({one, 3, "x"}), 1000, 100);
  ASSERT_EQ(lines.size(), 5);
  EXPECT_THAT(lines[3], HasSubstr("a?[2J???b  source     -     1.5 GB        -      -  2.0 MB/s"));
  for (const json& answer : {json::array(), json{{"routes", 1}}, json{{"arrivals", {{"a", 1}}}}, json("x")})
    EXPECT_THAT(table(answer, 80, 24), ElementsAre("no migrations, 0 connections to libvirt"));
}

}  // namespace
}  // namespace wherry::look
