// Renders the answer of a wherryd to "status" (daemon/errands.h) as a table for a terminal.
//
// One row for each migration, sorted by peer. An unknown figure is "-". ASCII only; other characters become
// '?'. The last line has the number of migrations and of connections to libvirt.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace wherry::look {

// Lines without line feeds: at most `height` lines of at most `width` characters. Columns that do not fit are
// left out, from the right. If rows are left out, the last line says so.
std::vector<std::string> table(const nlohmann::json& status, size_t width, size_t height);

}  // namespace wherry::look
