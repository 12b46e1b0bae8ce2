#include "qemu-glue/look/chart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

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

// The text of each element whose tag contains `tag`.
std::vector<std::string> texts(const std::string& picture, const std::string& tag) {
  std::vector<std::string> found;
  for (size_t at = 0; (at = picture.find(tag, at)) != std::string::npos;) {
    at = picture.find('>', at) + 1;
    found.push_back(picture.substr(at, picture.find('<', at) - at));
  }
  return found;
}

struct Place {
  double x;
  double y;
};

// The path of the picture's line, like "M1 2h0L3 4"; empty if there is none.
std::string path(const std::string& picture) {
  const std::string begin = "class=\"line\" d=\"";
  const size_t at = picture.find(begin);
  if (at == std::string::npos) return {};
  return picture.substr(at + begin.size(), picture.find('"', at + begin.size()) - at - begin.size());
}

// The points of the picture's line; checks that each is within the picture.
std::vector<Place> line(const std::string& picture) {
  std::string drawn = path(picture);
  for (size_t dot = 0; (dot = drawn.find("h0")) != std::string::npos;) drawn.erase(dot, 2);
  std::replace_if(
      drawn.begin(), drawn.end(), [](char c) { return c == 'M' || c == 'L'; }, ' ');
  std::istringstream numbers(drawn);
  std::vector<Place> places;
  for (Place place{}; numbers >> place.x >> place.y;) {
    places.push_back(place);
    EXPECT_TRUE(place.x >= 0 && place.x <= 400) << place.x;
    EXPECT_TRUE(place.y >= 0 && place.y <= 180) << place.y;
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
  EXPECT_THAT(texts(picture, "mark value"), ::testing::ElementsAre("0", "50", "100", "150", "200", "250"));
  EXPECT_THAT(texts(picture, "mark time"), ::testing::ElementsAre("0", "2", "4", "6", "8", "10"));
  EXPECT_THAT(picture, HasSubstr(">MB/s<"));
  EXPECT_THAT(picture, HasSubstr(">time in s<"));
}

TEST(Chart, AGapBreaksTheLine) {
  const std::string picture = svg(chart_of({{0, 1}, {1, 2}, {2, {}}, {3, 3}, {4, {}}}), {}, 4);
  EXPECT_EQ(line(picture).size(), 3);
  EXPECT_EQ(std::ranges::count(path(picture), 'M'), 2);
}

TEST(Chart, ABeginningOfWhichNothingIsKnownSaysSo) {
  EXPECT_THAT(svg(chart_of({{0, {}}, {2, {}}, {3, 1}, {4, 2}}), {}, 4), HasSubstr(">not known yet<"));
  for (const auto& points : std::vector<std::vector<Chart::Point>>{
           {}, {{3, 1}, {4, 2}}, {{0, 1}, {1, {}}, {4, 2}}, {{0, {}}, {0.1, 1}, {4, 2}}, {{0, {}}, {4, {}}}})
    EXPECT_THAT(svg(chart_of(points), {}, 4), Not(HasSubstr("not known")));
}

TEST(Chart, AnyNumbersStayInThePicture) {
  for (const double value : {0.0, 1e-300, 1e-3, 1.0, 999.999, 1e18}) {
    for (const double duration : {0.0, 1e-300, 0.5, 599.0, 1e18}) {
      Chart chart = chart_of({{0, value}, {duration, value / 2}});
      chart.level = {value, "target"};
      chart.outcome = {value, "actual"};
      const std::string picture = svg(chart, {{duration, "x"}}, duration);
      EXPECT_GE(line(picture).size(), 1) << value << " " << duration;
      for (const char* never : {"nan", "inf", "=\"-"}) EXPECT_THAT(picture, Not(HasSubstr(never)));
      const size_t marks = texts(picture, "class=\"mark").size();
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

TEST(Chart, WhatIsBeyondTheMostIsDrawnAtTheEdge) {
  Chart chart = chart_of({{0, 3.3e14}, {1, 1e8}, {2, 2e8}, {3, 1e18}});
  chart.most = 4e8;
  const std::string picture = svg(chart, {}, 4);
  EXPECT_THAT(texts(picture, "mark value"), ::testing::ElementsAre("0", "100", "200", "300", "400"));
  const auto places = line(picture);
  ASSERT_EQ(places.size(), 4);
  EXPECT_EQ(places[0].y, places[3].y);
  EXPECT_GT(places[1].y - places[2].y, 20);
  chart.outcome = {8e8, "actual"};
  EXPECT_THAT(texts(svg(chart, {}, 4), "mark value").back(), "800") << "it would be nowhere else";
}

TEST(Chart, MarksAreShort) {
  for (const double value : {9e3, 4e5, 3.3e8, 1e18}) {
    for (const Unit unit : {Unit::bytes, Unit::milliseconds, Unit::percent, Unit::times}) {
      Chart chart = chart_of({{0, value}, {value, value}});
      chart.unit = unit;
      for (const std::string& mark : texts(svg(chart, {}, value), "class=\"mark"))
        EXPECT_LE(mark.size(), 5) << value;
    }
  }
}

TEST(Chart, EventsAreNumberedWhereThereIsRoom) {
  const Chart chart = chart_of({{0, 1}, {10, 1}});
  const std::string picture = svg(chart, {{1, "a<"}, {1.1, "b"}, {1.1001, "c"}, {5, "d"}, {20, "late"}}, 10);
  EXPECT_THAT(texts(picture, "<title"), ::testing::ElementsAre("a&lt;", "b", "d", "late"));
  EXPECT_THAT(texts(picture, "<text x="), ::testing::ElementsAre("1", "4", "5"));
}

}  // namespace
}  // namespace wherry::look
