#include "qemu-glue/look/chart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

namespace wherry::look {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Chart chart_of(std::vector<Chart::Point> points) {
  return {.title = "Goodput",
          .unit = Unit::bytes_per_second,
          .points = std::move(points),
          .level = {},
          .outcome = {}};
}

// The first group of each match.
std::vector<std::string> all(const std::string& text, const char* pattern) {
  const std::regex regex(pattern);
  std::vector<std::string> found;
  for (std::sregex_iterator at(text.begin(), text.end(), regex), end; at != end; ++at)
    found.push_back((*at)[1]);
  return found;
}

struct Place {
  double x;
  double y;
};

// Of the line's points; each is in the picture.
std::vector<Place> line(const std::string& picture) {
  const auto paths = all(picture, R"re(class="line" d="([^"]*)")re");
  std::vector<Place> places;
  if (paths.size() != 1) return places;
  const std::regex place("[ML]([-0-9.]+) ([-0-9.]+)");
  for (std::sregex_iterator at(paths[0].begin(), paths[0].end(), place), end; at != end; ++at) {
    places.push_back({std::stod((*at)[1]), std::stod((*at)[2])});
    EXPECT_TRUE(places.back().x >= 0 && places.back().x <= 400) << places.back().x;
    EXPECT_TRUE(places.back().y >= 0 && places.back().y <= 180) << places.back().y;
  }
  return places;
}

TEST(Chart, ALineRisesWithTheValue) {
  const auto places = line(svg(chart_of({{0, 0}, {1, 50}, {2, 100}}), {}, 4));
  ASSERT_EQ(places.size(), 3);
  EXPECT_NEAR(places[1].x - places[0].x, places[2].x - places[1].x, 0.2);
  EXPECT_NEAR(places[0].y - places[1].y, places[1].y - places[2].y, 0.2);
  EXPECT_GT(places[0].y - places[2].y, 50);
}

TEST(Chart, AxesHaveRoundMarksAndUnits) {
  const std::string picture = svg(chart_of({{0, 0}, {10, 2.3e8}}), {}, 10);
  EXPECT_THAT(all(picture, R"(class="mark value"[^>]*>([^<]*)<)"),
              ::testing::ElementsAre("0", "50", "100", "150", "200", "250"));
  EXPECT_THAT(all(picture, R"(class="mark time"[^>]*>([^<]*)<)"),
              ::testing::ElementsAre("0", "2", "4", "6", "8", "10"));
  EXPECT_THAT(picture, HasSubstr(">MB/s<"));
  EXPECT_THAT(picture, HasSubstr(">time in s<"));
}

TEST(Chart, AGapBreaksTheLine) {
  const std::string picture = svg(chart_of({{0, 1}, {1, 2}, {2, {}}, {3, 3}, {4, {}}}), {}, 4);
  EXPECT_EQ(line(picture).size(), 3);
  EXPECT_EQ(all(picture, "(h0)").size(), 2);  // begun twice
}

TEST(Chart, AnyNumbersStayInThePicture) {
  for (const double value : {0.0, 1e-300, 1e-3, 1.0, 999.999, 1e18}) {
    for (const double duration : {0.0, 1e-300, 0.5, 599.0, 1e18}) {
      Chart chart = chart_of({{0, value}, {duration, value / 2}});
      chart.level = {value, "target"};
      chart.outcome = {value, "actual"};
      const std::string picture = svg(chart, {{duration, "x"}}, duration);
      EXPECT_GE(line(picture).size(), 1) << value << " " << duration;
      EXPECT_THAT(picture, Not(::testing::ContainsRegex("nan|inf|-[0-9]")));
      const size_t marks = all(picture, R"((class="mark))").size();
      EXPECT_TRUE(marks >= 5 && marks <= 20) << marks << " of " << value << " " << duration;
    }
  }
}

TEST(Chart, OfManyPointsTheExtremesAreDrawn) {
  std::vector<Chart::Point> points;
  for (int i = 0; i < 100'000; ++i) points.push_back({i / 10.0, 500});
  points[50'001].value = 1000;
  points[70'001].value = 0;
  const std::string picture = svg(chart_of(points), {}, 10'000);
  EXPECT_LT(picture.size(), 100'000);
  const auto places = line(picture);
  EXPECT_LT(places.size(), 4 * 400);
  const auto lower = [](const Place& a, const Place& b) { return a.y < b.y; };
  const auto [highest, lowest] = std::minmax_element(places.begin(), places.end(), lower);
  EXPECT_NEAR(lowest->y - highest->y, 2 * (places[0].y - highest->y), 0.3);
}

TEST(Chart, LevelAndOutcomeAreNamed) {
  Chart chart = chart_of({});
  chart.unit = Unit::milliseconds;
  chart.level = {300, "target"};
  chart.outcome = {72, "actual <b>"};
  const std::string picture = svg(chart, {}, 1);
  EXPECT_THAT(picture, HasSubstr(">target 300 ms<"));
  EXPECT_THAT(picture, HasSubstr(">actual &lt;b&gt; 72 ms<"));
  EXPECT_THAT(picture, Not(HasSubstr("class=\"line\"")));
}

TEST(Chart, EventsAreNumberedWhereThereIsRoom) {
  const Chart chart = chart_of({{0, 1}, {10, 1}});
  const std::string picture = svg(chart, {{1, "a<"}, {1.1, "b"}, {1.1001, "c"}, {5, "d"}, {20, "late"}}, 10);
  EXPECT_THAT(all(picture, "<title>([^<]*)"), ::testing::ElementsAre("a&lt;", "b", "d", "late"));
  EXPECT_THAT(all(picture, R"(>(\d+)</text></g>)"), ::testing::ElementsAre("1", "4", "5"));
}

}  // namespace
}  // namespace wherry::look
