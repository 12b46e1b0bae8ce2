// What a QEMU was started with, from the command line that /proc has: arguments that each end with a zero
// byte.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "base/result.h"

namespace wherry {

Result<std::string> read_command_line(pid_t process);

// The first argument that follows -NAME or --NAME and begins with `beginning`; empty if there is none.
std::string_view argument_of(std::string_view command_line, std::string_view name,
                             std::string_view beginning = "");

}  // namespace wherry
