#include "qemu-glue/look/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "qemu-glue/outcome/report.h"
#include "tests/base/expect_error.h"

namespace wherry::look {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

// A report as it is written, with all members that it can have.
json whole() {
  Report report;
  report.role = "source";
  report.ended = Ended{Outcome::completed, ""};
  report.uri = "wherry://hostb?streams=2";
  report.placement = {.how = "relay", .reason = "asked for"};
  report.total_s = 2;
  report.downtime.switchover_ms = 72;
  report.traffic.wire_bytes = 1'000'000;
  report.traffic.guest_bytes = 2'580'000;
  report.traffic.pages = {.zero = 1000, .same = 0, .delta = 500, .zstd = 400, .raw = 100};
  report.lanes = {
      {.peer = "10.0.0.2:16520", .sent = 999, .written = {}, .no_rdma = "no port", .port = {}, .lost = true}};
  report.opaque = {{"main", "xbzrle"}};
  report.traffic.in_flight_bound = 4 << 20;
  for (int i = 0; i <= 20; ++i)
    report.timeline.push_back({.t = i / 10.0,
                               .goodput = 1e8,
                               .ratio = 2,
                               .in_flight = 1 << 20,
                               .encoding = i < 5 ? "first: raw" : "first: zstd 1",
                               .link_rate = 1e8});
  json all = report.to_json();
  all.update(
      json{{"target_ms", 300},
           {"throttle",
            {{"peak_percent", 40},
             {"mean_percent", 12},
             {"by", "vcpu-quota"},
             {"reason", "dirty-limit: needs KVM"}}},
           {"downtime", {{"predicted", {{"last_pass", 50}, {"total", 60}}}, {"measured", {{"total", 72}}}}},
           {"messages", {{{"t", 1.5}, {"text", "throttle goes to 40 %"}}}}});
  for (json& point : all["timeline"])
    point.update(json{{"remaining", 1e9}, {"dirty_rate", 2e6}, {"throttle", 20}, {"predicted_ms", 80}});
  return all;
}

size_t count(const std::string& text, const std::string& what) {
  size_t found = 0;
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; ++at) ++found;
  return found;
}

std::string page_of(const json& report) {
  auto made = page(report.dump());
  return made ? *made : "error: " + made.error().message;
}

std::string error_of(const json& report) {
  const auto made = page(report.dump());
  return made ? "" : made.error().message;
}

TEST(Page, SaysAllThatTheReportHas) {
  const std::string text = page_of(whole());
  for (const char* said : {"<span class=\"completed\">completed</span>",
                           "source",
                           "wherry://hostb?streams=2",
                           "2.00 s",
                           ">72 ms<",
                           "target 300 ms",
                           "2.6 MB",
                           "1.0 MB",
                           ">2.58<",
                           ">relay: asked for<",
                           "10.0.0.2:16520",
                           ">lost<",
                           ">no port<",
                           ">999 B<",
                           ">xbzrle<",
                           ">40 %<",
                           "mean 12 %, by vcpu-quota",
                           ">dirty-limit: needs KVM<",
                           ">last pass<",
                           ">50 ms<",
                           "1.5 s: throttle goes to 40 %",
                           ">76.2 %</td><td>first: zstd 1<",
                           "50.0 %",
                           "actual 72 ms",
                           "largest bound 4.2 MB"})
    EXPECT_THAT(text, HasSubstr(said));
  EXPECT_EQ(count(text, "<svg"), 8);
  EXPECT_EQ(count(text, "class=\"line\""), 8);
  EXPECT_EQ(count(text, "class=\"event\""), 8);
}

TEST(Page, NeedsNothingElse) {
  const std::string text = page_of(whole());
  for (const char* never : {"<script", "http:", "https:", "url(", "@import", "<link", "<img"})
    EXPECT_THAT(text, Not(HasSubstr(never)));
}

TEST(Page, WhatIsNotThereIsLeftOut) {
  const std::string text = page_of({{"status", "running"}, {"role", "destination"}});
  EXPECT_THAT(text, HasSubstr(">running<"));
  for (const char* never : {"<svg", "<table", "<section", "Downtime", "error:"})
    EXPECT_THAT(text, Not(HasSubstr(never)));
  json old = whole();
  for (json& point : old["timeline"]) {
    for (const char* added : {"remaining", "dirty_rate", "throttle", "predicted_ms"}) point.erase(added);
  }
  EXPECT_EQ(count(page_of(old), "<svg"), 5);  // one of them has only the actual downtime
  EXPECT_THAT(page_of(old), HasSubstr("better throttle"));
  old["throttle"]["reason"] = "";
  EXPECT_THAT(page_of(old), Not(HasSubstr("better throttle"))) << "it is the best";
}

TEST(Page, AnEarlyExtremeHidesNothing) {
  json report = whole();
  report["timeline"][1].update(json{{"predicted_ms", 327'907'000}, {"ratio", 5e5}});
  const std::string text = page_of(report);
  EXPECT_THAT(text, HasSubstr("highest 91.1 h, last 80 ms"));
  EXPECT_THAT(text, HasSubstr(">1200</text>")) << "of 300 ms";
  EXPECT_THAT(text, HasSubstr(">8</text>")) << "of a ratio of 2";
}

TEST(Page, TextOfOthersStaysText) {
  const std::string evil = "</title></style><script>alert(1)</script>\" onload='x'\x1b[2J";
  json report = whole();
  for (const char* name : {"status", "role", "uri", "error", "placement", "placement_reason", "transport"})
    report[name] = evil;
  for (const char* name : {"peer", "transport", "no_rdma"}) report["lanes"][0][name] = evil;
  report["lanes"][0]["port"] = {{"device", evil}};
  report["opaque"] = {{evil, evil}};
  report["downtime"]["predicted"][evil] = 1;
  report["messages"][0]["text"] = evil;
  report["throttle"]["by"] = evil;
  report["throttle"]["reason"] = evil;
  report["timeline"][7]["encoding"] = evil;
  const std::string text = page_of(report);
  EXPECT_GT(count(text, "&lt;script&gt;"), 15);
  for (const char* never : {"<script", "onload='", "\x1b"}) EXPECT_THAT(text, Not(HasSubstr(never)));
  EXPECT_EQ(count(text, "</style>"), 1);
}

TEST(Page, AWrongMemberIsNamed) {
  const auto wrong = [](const char* pointer, const json& value) {
    json report = whole();
    report[json::json_pointer(pointer)] = value;
    return error_of(report);
  };
  EXPECT_ERROR(wrong("/total_s", "2"), "total_s: ", "a number", "string");
  EXPECT_ERROR(wrong("/status", 1), "status: ", "a string", "number");
  EXPECT_ERROR(wrong("/lanes", 1), "lanes: ", "a list", "number");
  EXPECT_ERROR(wrong("/lanes/0", "x"), "lanes[0]: ", "an object", "string");
  EXPECT_ERROR(wrong("/lanes/0/lost", "no"), "lanes[0].lost: ", "true or false", "string");
  EXPECT_ERROR(wrong("/opaque/main", 1), "opaque.main: ", "a string", "number");
  EXPECT_EQ(wrong("/pages/raw", -1), "pages.raw: -1 is not between 0 and 1e+18");
  EXPECT_ERROR(wrong("/downtime/predicted/total", true), "downtime.predicted.total: ", "a number", "boolean");
  EXPECT_EQ(wrong("/messages/0/t", nullptr), "messages[0].t: missing");
  EXPECT_ERROR(wrong("/timeline", json::object()), "timeline: ", "a list", "object");
  EXPECT_ERROR(wrong("/timeline/3", 1), "timeline[3]: ", "an object", "number");
  EXPECT_EQ(wrong("/timeline/3/t", nullptr), "timeline[3].t: missing");
  EXPECT_EQ(wrong("/timeline/3/t", 0.1), "timeline[3].t: earlier than the point before");
  EXPECT_ERROR(wrong("/timeline/3/goodput", "NaN"), "timeline[3].goodput: ", "a number", "string");
  EXPECT_EQ(wrong("/timeline/3/dirty_rate", 1e300),
            "timeline[3].dirty_rate: 1e+300 is not between 0 and 1e+18");
  EXPECT_ERROR(wrong("/timeline/3/encoding", 1), "timeline[3].encoding: ", "a string", "number");
}

TEST(Page, WhatIsNoReportIsRefused) {
  EXPECT_ERROR(error_of(json::object()), "status: missing", "--report");
  EXPECT_ERROR(error_of(json::array()), "an object", "array");
  for (const char* text : {"", "{", "{\"status\": NaN}", "{\"total_s\": 1e999}", "\xff", "{} {}"}) {
    EXPECT_ERROR(page(text), "not JSON") << text;
  }
  EXPECT_ERROR(page(std::string(kLargestReport + 1, ' ')), "64 MiB");
}

TEST(Page, OfManyPointsAFewAreDrawn) {
  json report = whole();
  const json point = report["timeline"][0];
  for (int i = 0; i < 100'000; ++i) {
    report["timeline"].push_back(point);
    report["timeline"].back().update(
        {{"t", 3 + i / 10.0}, {"goodput", i * 7919 % 1000}, {"encoding", std::to_string(i)}});
  }
  const std::string text = page_of(report);
  EXPECT_LT(text.size(), 500'000);
  EXPECT_THAT(text, HasSubstr("and 99994 others"));
}

}  // namespace
}  // namespace wherry::look
