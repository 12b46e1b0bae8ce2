// The monitor that a QEMU was given in its command line, as "-qmp unix:PATH". Under libvirt that is the way
// to a monitor of its own: libvirt's is taken, and answers nobody else.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "base/result.h"

namespace wherry {

// Its path from here, of the process' command line in /proc.
Result<std::string> own_monitor(pid_t qemu);

// The same of a command line as /proc has it: arguments that each end with a zero byte. Empty if there is
// none.
std::string qmp_argument(std::string_view command_line);

}  // namespace wherry
