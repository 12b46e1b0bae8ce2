#include "qemu-glue/outcome/report.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/base/expect_error.h"
#include "tests/transport/support.h"

namespace wherry {
namespace {

using nlohmann::json;

// The text of a report as it is written, but for blanks.
std::string json_text_of(const Report& report) {
  return report.to_json().dump();
}
std::string without_blanks(const char* text) {
  return json::parse(text).dump();
}

// A report in which each member has a value.
Report whole_report() {
  RdmaPort port;
  port.device = "mlx";
  port.number = 1;
  port.rate = 100;
  port.mtu = 4096;
  Report report;
  report.role = "source";
  report.uri = "wherry://hostb";
  report.ended = Ended{Outcome::unknown, "ask QEMU"};
  report.total_s = 2.5;
  report.passes = 3;
  report.remaining = 4096;
  report.placement = {.how = "relay", .reason = "asked for"};
  report.downtime = {.target_ms = 300,
                     .switchover_ms = 62.5,
                     .predicted = convergence::Downtime{.pages = 0.5, .placed = 0.25, .start = 0.125},
                     .measured = convergence::Downtime{.pages = 0.03125, .placed = 0.015625}};
  report.throttle = {.by = "vcpu-quota",
                     .reason = "dirty-limit: no KVM",
                     .percent = convergence::Throttling::Percent{.now = 10, .peak = 40, .mean = 20}};
  report.traffic = {.wire_bytes = 1,
                    .guest_bytes = 2,
                    .disk_bytes = 3,
                    .pages = {.zero = 4, .same = 5, .delta = 6, .zstd = 7, .raw = 8},
                    .asked_again = 9,
                    .bandwidth = 10,
                    .in_flight_max = 11,
                    .in_flight_bound = 12};
  report.history = {.bytes = 13, .budget = 14};
  report.lanes = {{.peer = "a:1", .sent = 15, .written = 16, .no_rdma = "", .port = port, .lost = false},
                  {.peer = "b:2", .sent = {}, .written = {}, .no_rdma = "no port", .port = {}, .lost = true}};
  report.opaque = {{"main", "xbzrle"}};
  report.messages = {{.t = 0.5, .text = "out of reach"}};
  report.timeline = {{.t = 0.25, .goodput = 100, .in_flight = 17, .encoding = "raw"},
                     {.t = 0.75,
                      .goodput = 200,
                      .ratio = 1.5,
                      .in_flight = 18,
                      .encoding = "zstd 1",
                      .link_rate = 300,
                      .remaining = 19,
                      .dirty_rate = 400,
                      .throttle = 10,
                      .predicted_ms = 875}};
  return report;
}

TEST(Report, OfAMigrationThatHasJustBegunHasNoFiguresYet) {
  EXPECT_EQ(json_text_of(Report()), without_blanks(R"({
    "role": "", "uri": "", "status": "running", "error": "", "total_s": 0.0, "transport": "",
    "placement": "", "placement_reason": "",
    "wire_bytes": 0, "guest_bytes": 0, "disk_bytes": 0,
    "pages": {"zero": 0, "same": 0, "delta": 0, "zstd": 0, "raw": 0},
    "in_flight_max": 0, "in_flight_bound": 0, "history_bytes": 0, "history_budget": 0,
    "lanes": [], "opaque": {}, "timeline": []})"));
}

TEST(Report, IsWrittenWhole) {
  EXPECT_EQ(json_text_of(whole_report()), without_blanks(R"({
    "role": "source", "uri": "wherry://hostb", "status": "unknown", "error": "ask QEMU",
    "total_s": 2.5, "passes": 3, "remaining": 4096,
    "transport": "mixed", "placement": "relay", "placement_reason": "asked for",
    "target_ms": 300.0, "switchover_ms": 62.5,
    "downtime": {"predicted": {"pages": 500.0, "placed": 250.0, "start": 125.0, "total": 875.0},
                 "measured": {"pages": 31.25, "placed": 15.625, "start": 15.625, "total": 62.5}},
    "throttle": {"by": "vcpu-quota", "reason": "dirty-limit: no KVM",
                 "peak_percent": 40.0, "mean_percent": 20.0},
    "wire_bytes": 1, "guest_bytes": 2, "disk_bytes": 3,
    "pages": {"zero": 4, "same": 5, "delta": 6, "zstd": 7, "raw": 8},
    "asked_again": 9, "bandwidth": 10, "in_flight_max": 11, "in_flight_bound": 12,
    "history_bytes": 13, "history_budget": 14,
    "lanes": [
      {"peer": "a:1", "transport": "rdma", "lost": false, "reconnects": 0, "bytes": 15, "written": 16,
       "port": {"device": "mlx", "number": 1, "rate": 100, "mtu": 4096}},
      {"peer": "b:2", "transport": "tcp", "lost": true, "reconnects": 0, "no_rdma": "no port"}],
    "opaque": {"main": "xbzrle"},
    "messages": [{"t": 0.5, "text": "out of reach"}],
    "timeline": [
      {"t": 0.25, "goodput": 100.0, "in_flight": 17, "encoding": "raw"},
      {"t": 0.75, "goodput": 200.0, "in_flight": 18, "encoding": "zstd 1", "ratio": 1.5, "link_rate": 300.0,
       "remaining": 19, "dirty_rate": 400.0, "throttle": 10.0, "predicted_ms": 875.0}]})"));
}

TEST(Report, TheMeasuredDowntimeNeedsThatOfTheMonitors) {
  Report report = whole_report();
  report.downtime.switchover_ms = 16;
  EXPECT_EQ(report.to_json()["downtime"]["measured"]["start"], 0) << "it is never negative";
  report.downtime.switchover_ms.reset();
  EXPECT_FALSE(report.to_json()["downtime"].contains("measured"));
}

TEST(Report, NamesTheTransportOfAllLanes) {
  Report report = whole_report();
  EXPECT_EQ(report.transport(), "mixed");
  report.lanes.pop_back();
  EXPECT_EQ(report.transport(), "rdma");
  report.lanes[0].no_rdma = "no port";
  EXPECT_EQ(report.transport(), "tcp");
}

class ReportFileTest : public testing::Test {
 protected:
  std::string content() const {
    std::ifstream file(path_);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  const test::TempDir directory_;
  const std::string path_ = directory_.at("report.json");
};

TEST_F(ReportFileTest, HasTheLastReportAlone) {
  auto file = ReportFile::open(path_, whole_report());
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(json::parse(content())["status"], "unknown") << "it is written at once";
  ASSERT_TRUE(file->write(Report()));
  EXPECT_EQ(content(), Report().to_json().dump(2) + "\n") << "which is shorter";
}

TEST_F(ReportFileTest, AnUnwritablePathIsAnErrorAtOnce) {
  EXPECT_ERROR(ReportFile::open(directory_.at("none/report.json"), Report()), "none/report.json");
}

}  // namespace
}  // namespace wherry
