#include "qemu-glue/look/trace_events.h"

#include <gtest/gtest.h>

#include <string>

#include "qemu-glue/look/page.h"
#include "tests/base/expect_error.h"

namespace wherry::look {
namespace {

TEST(TraceEvents, AreReadInTheOrderOfTime) {
  const auto events = trace_events(
      R"({"t": 2.5, "process": 7, "end": "source", "event": "lane_lost", "lane": 1, "why": "cut"})"
      "\n\n"
      R"({"t": 1, "event": "done", "why": ""})"
      "\n");
  ASSERT_TRUE(events) << events.error().message;
  ASSERT_EQ(events->size(), 2u);
  EXPECT_EQ((*events)[0].text, "done");
  EXPECT_EQ((*events)[1].t, 2.5);
  EXPECT_EQ((*events)[1].text, "source: lane_lost lane=1 why=cut");
}

TEST(TraceEvents, ALineThatIsNotAnEventIsNamed) {
  const std::string good = R"({"t": 1, "event": "done"})"
                           "\n";
  EXPECT_ERROR(trace_events(good + "nonsense"), "line 2", "JSON");
  EXPECT_ERROR(trace_events(good + "[]"), "line 2", "an object", "array");
  EXPECT_ERROR(trace_events(R"({"event": "done"})"), "line 1: t: missing");
  EXPECT_ERROR(trace_events(R"({"t": 1e300, "event": "done"})"), "line 1: t: ");
  EXPECT_ERROR(trace_events(R"({"t": 1})"), "line 1: event: missing");
}

TEST(TraceEvents, OfALongTraceTheFirstAreKept) {
  std::string trace;
  for (size_t i = 0; i < kMostEvents + 3; ++i)
    trace += R"({"t": 1, "event": "epoch"})"
             "\n";
  const auto events = trace_events(trace);
  ASSERT_TRUE(events);
  ASSERT_EQ(events->size(), kMostEvents + 1);
  EXPECT_EQ(events->back().text, "3 more events are in the trace");
}

TEST(TraceEvents, StandOnThePageBesideTheMessages) {
  const auto text = page(R"({"status": "completed", "role": "source", "total_s": 2,
                             "timeline": [{"t": 1, "goodput": 5}],
                             "messages": [{"t": 1.5, "text": "a message"}]})",
                         {{1.0, "source: <lane_lost>"}});
  ASSERT_TRUE(text) << text.error().message;
  const size_t event = text->find("<li>1.0 s: source: &lt;lane_lost&gt;</li>");
  const size_t message = text->find("<li>1.5 s: a message</li>");
  ASSERT_NE(event, std::string::npos);
  ASSERT_NE(message, std::string::npos);
  EXPECT_LT(event, message);
}

}  // namespace
}  // namespace wherry::look
