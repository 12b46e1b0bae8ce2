// The file of --trace as events for a page's charts.
//
// Lines may be from anyone: one that is not an event is an error that names the line. Of a long trace the
// first kMostEvents are drawn, and one event more says how many there are besides.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "qemu-glue/look/chart.h"

namespace wherry::look {

inline constexpr size_t kMostEvents = 200;

// In the order of time.
Result<std::vector<Event>> trace_events(std::string_view trace);

}  // namespace wherry::look
