#include "qemu-glue/source/source_report.h"

#include <gtest/gtest.h>

namespace wherry {
namespace {

using std::chrono::milliseconds;

SourceReport::Sample sample_of_a_guest() {
  SourceReport::Sample sample;
  sample.passes = 2;
  sample.totals.guest_bytes = 300;
  sample.totals.wire_bytes = 100;
  return sample;
}

class SourceReportTest : public testing::Test {
 protected:
  SourceReport report_{*Uri::parse("wherry://127.0.0.1?downtime=250ms")};
};

TEST_F(SourceReportTest, BeginsWithWhatIsWished) {
  const Report report = report_.report();
  EXPECT_EQ(report.role, "source");
  EXPECT_EQ(report.uri, "wherry://127.0.0.1?downtime=250ms");
  EXPECT_EQ(report.downtime.target_ms, 250);
  EXPECT_EQ(report.status(), "running");
}

TEST_F(SourceReportTest, HasATimelineOnceAGuestIsThere) {
  report_.sample({});
  EXPECT_TRUE(report_.report().timeline.empty());
  convergence::State state;
  state.remaining = 77;
  state.throttle.percent = convergence::Throttling::Percent{.now = 10, .peak = 40, .mean = 20};
  report_.note(state, {});
  report_.sample(sample_of_a_guest());
  const Report report = report_.report();
  ASSERT_EQ(report.timeline.size(), 1u);
  EXPECT_EQ(report.timeline[0].ratio, 3.0);
  EXPECT_EQ(report.timeline[0].remaining, 77u);
  EXPECT_EQ(report.timeline[0].throttle, 10.0);
  EXPECT_EQ(report.throttle.percent->peak, 40);
  EXPECT_EQ(report.passes, 2u);
}

TEST_F(SourceReportTest, ALostLaneStaysInTheList) {
  auto sample = sample_of_a_guest();
  sample.totals.lanes.resize(2);
  sample.totals.lanes[1].bytes = 6;
  sample.totals.lanes[1].lost = "reset";
  report_.sample(sample);
  const auto lanes = report_.report().lanes;
  ASSERT_EQ(lanes.size(), 2u);
  EXPECT_FALSE(lanes[0].lost);
  EXPECT_TRUE(lanes[1].lost);
  EXPECT_EQ(lanes[1].sent, 6u);
}

TEST_F(SourceReportTest, MeasuresTheAbsenceOnceBothAreKnown) {
  const auto stopped = std::chrono::steady_clock::now();
  const SourceReport::LastPage last{.handed_over = stopped + milliseconds(20),
                                    .placed = stopped + milliseconds(30)};
  report_.note({}, last);
  EXPECT_FALSE(report_.report().downtime.measured) << "nobody has said that the guest stopped";
  EXPECT_FALSE(report_.guest_stopped());
  convergence::State state;
  state.stopped = stopped;
  report_.note(state, {});
  EXPECT_FALSE(report_.report().downtime.measured);
  EXPECT_TRUE(report_.guest_stopped());
  auto sample = sample_of_a_guest();
  sample.last_page = last;
  report_.sample(sample);
  ASSERT_TRUE(report_.report().downtime.measured);
  EXPECT_NEAR(report_.report().downtime.measured->pages, 0.020, 1e-9);
  EXPECT_NEAR(report_.report().downtime.measured->placed, 0.010, 1e-9);
}

TEST_F(SourceReportTest, HasEachMessageOnce) {
  convergence::State state;
  for (const char* text : {"one", "two"}) {
    state.messages.emplace_back(text);
    report_.note(state, {});
  }
  const auto messages = report_.report().messages;
  ASSERT_EQ(messages.size(), 2u);
  EXPECT_EQ(messages[0].text, "one");
  EXPECT_EQ(messages[1].text, "two");
}

TEST_F(SourceReportTest, EndsWithTheOutcome) {
  report_.set_placement({.how = "relay", .reason = "asked for"});
  report_.end({Outcome::failed, "cut"});
  const Report report = report_.report();
  EXPECT_EQ(report.status(), "failed");
  EXPECT_EQ(report.error(), "cut");
  EXPECT_EQ(report.placement.how, "relay");
  EXPECT_EQ(report.placement.reason, "asked for");
  EXPECT_GT(report.total_s, 0);
}

}  // namespace
}  // namespace wherry
