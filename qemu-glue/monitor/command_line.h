// The command line of a process, from /proc/PID/cmdline: arguments, each followed by a zero byte.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "base/result.h"

namespace wherry {

Result<std::string> read_command_line(pid_t process);

// The first argument that follows -NAME or --NAME and starts with `beginning`; empty if there is none.
std::string_view argument_of(std::string_view command_line, std::string_view name,
                             std::string_view beginning = "");

}  // namespace wherry
