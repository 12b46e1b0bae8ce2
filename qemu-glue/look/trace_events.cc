#include "qemu-glue/look/trace_events.h"

#include <algorithm>
#include <optional>

#include "qemu-glue/look/fields.h"

namespace wherry::look {
namespace {

// "source: lane_lost lane=1 why=…": all members but those that every event has.
std::string text_of(const Fields& event, const nlohmann::json& json) {
  std::string text = event.text("end").value_or("");
  if (!text.empty()) text += ": ";
  text += event.text("event").value_or("");
  for (const auto& member : json.items()) {
    const std::string& name = member.key();
    if (name == "t" || name == "end" || name == "event" || name == "process") continue;
    const nlohmann::json& value = member.value();
    const std::string shown = value.is_string() ? value.get<std::string>() : value.dump();
    if (!shown.empty()) text += fmt::format(" {}={}", name, shown);
  }
  return text;
}

Result<Event> read_event(std::string_view line) {
  const auto json = nlohmann::json::parse(line, nullptr, false);
  if (json.is_discarded()) return fail("it is not JSON");
  std::optional<Error> error;
  const Fields event(json, error);
  const auto t = event.number("t");
  if (!t) event.refuse("t", "missing");
  if (!event.text("event")) event.refuse("event", "missing: was this file written by --trace?");
  if (error) return tl::make_unexpected(*error);
  return Event{*t, text_of(event, json)};
}

}  // namespace

Result<std::vector<Event>> trace_events(std::string_view trace) {
  std::vector<Event> events;
  size_t number = 0;
  while (!trace.empty()) {
    const size_t end = std::min(trace.find('\n'), trace.size());
    const std::string_view line = trace.substr(0, end);
    trace.remove_prefix(std::min(end + 1, trace.size()));
    ++number;
    if (line.empty()) continue;
    auto event = read_event(line);
    if (!event) return fail("line {}: {}", number, event.error().message);
    events.push_back(std::move(*event));
  }
  std::stable_sort(events.begin(), events.end(), [](const Event& a, const Event& b) { return a.t < b.t; });
  if (events.size() > kMostEvents) {
    const size_t more = events.size() - kMostEvents;
    events.resize(kMostEvents);
    events.push_back({events.back().t, fmt::format("{} more events are in the trace", more)});
  }
  return events;
}

}  // namespace wherry::look
