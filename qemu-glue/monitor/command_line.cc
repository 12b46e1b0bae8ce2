#include "qemu-glue/monitor/command_line.h"

#include <algorithm>
#include <fstream>
#include <sstream>

namespace wherry {

Result<std::string> read_command_line(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/cmdline", std::ios::binary);
  // Not with an istreambuf_iterator, which throws if the process ends while it is read.
  std::ostringstream command_line;
  command_line << file.rdbuf();
  if (command_line.view().empty()) return fail("cannot read the command line of process {}", process);
  return command_line.str();
}

std::string_view argument_of(std::string_view command_line, std::string_view name,
                             std::string_view beginning) {
  bool follows = false;
  while (!command_line.empty()) {
    std::string_view argument = command_line.substr(0, command_line.find('\0'));
    command_line.remove_prefix(std::min(argument.size() + 1, command_line.size()));
    if (follows && argument.starts_with(beginning)) return argument;
    follows = argument.starts_with('-');
    if (follows) argument.remove_prefix(argument.starts_with("--") ? 2 : 1);
    follows = follows && argument == name;
  }
  return {};
}

}  // namespace wherry
