// Reads the file of --trace as events for a page's charts.
//
// The file is untrusted: a line that is not an event is an error with the line's number. Of a long trace the
// first kMostEvents are drawn, and one more event has the number of those left out.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "qemu-glue/look/chart.h"

namespace wherry::look {

inline constexpr size_t kMostEvents = 200;

// Returns the events in the order of time.
Result<std::vector<Event>> trace_events(std::string_view trace);

}  // namespace wherry::look
