// What goes on at a host's wherryd (its answer to "status", see daemon/errands.h), as a table for a terminal.
//
// A row for each migration, sorted by peer. A figure that is not known is "-". ASCII alone, whatever a peer
// is called. Ends with a line that says what has no row.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace wherry::look {

// Lines without their ends: at most `height` of at most `width` characters. Columns that have no room go,
// from the right; what is missing of the rows is said.
std::vector<std::string> table(const nlohmann::json& status, size_t width, size_t height);

}  // namespace wherry::look
