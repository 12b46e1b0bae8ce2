// Renders a migration's report (the JSON of --report) as one HTML file, without scripts and external
// resources.
//
// Members that the report lacks are left out. The report is untrusted: text is escaped, and a member of a
// wrong type or out of range is an error that names it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "qemu-glue/look/chart.h"

namespace wherry::look {

// In bytes; a larger report is an error. This is enough for a timeline of some hours.
inline constexpr size_t kLargestReport = size_t{64} << 20;

// `traced`: events of the same migration (trace_events.h), drawn together with the report's messages.
Result<std::string> page(std::string_view report, std::vector<Event> traced = {});

}  // namespace wherry::look
