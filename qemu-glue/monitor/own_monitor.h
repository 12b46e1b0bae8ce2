// Finds the monitor that a QEMU has in its command line as "-qmp unix:PATH". Under libvirt, Wherry needs such
// a spare monitor, because libvirt's own monitor serves only libvirt.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "base/result.h"

namespace wherry {

// The path of that monitor, usable from this process. Reads the command line from /proc.
Result<std::string> own_monitor(pid_t qemu);

// The path in a command line as /proc has it: arguments, each followed by a zero byte. Empty if there is
// none.
std::string qmp_argument(std::string_view command_line);

}  // namespace wherry
