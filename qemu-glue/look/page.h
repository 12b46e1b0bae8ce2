// A migration's report (the JSON of --report) as a page for a browser: one HTML file that needs nothing else,
// no script and no network.
//
// What the report does not have is left out. What is in it may be from anyone: text stays text, and a member
// of a wrong type or out of range is an error that names it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "qemu-glue/look/chart.h"

namespace wherry::look {

// More is refused. It is enough for a timeline of some hours.
inline constexpr size_t kLargestReport = size_t{64} << 20;

// `traced`: events of the same migration (trace_events.h), to be drawn beside the report's messages.
Result<std::string> page(std::string_view report, std::vector<Event> traced = {});

}  // namespace wherry::look
