#include "qemu-glue/monitor/own_monitor.h"

#include <algorithm>
#include <fstream>
#include <iterator>

namespace wherry {

std::string qmp_argument(std::string_view command_line) {
  constexpr std::string_view kUnix = "unix:";
  bool follows = false;
  while (!command_line.empty()) {
    const std::string_view argument = command_line.substr(0, command_line.find('\0'));
    command_line.remove_prefix(std::min(argument.size() + 1, command_line.size()));
    if (follows && argument.starts_with(kUnix)) {
      const std::string_view path = argument.substr(kUnix.size());
      return std::string(path.substr(0, path.find(',')));
    }
    follows = argument == "-qmp" || argument == "--qmp";
  }
  return "";
}

Result<std::string> own_monitor(pid_t qemu) {
  std::ifstream file("/proc/" + std::to_string(qemu) + "/cmdline", std::ios::binary);
  const std::string command_line{std::istreambuf_iterator<char>(file), {}};
  if (command_line.empty()) return fail("the command line of process {} cannot be read", qemu);
  std::string path = qmp_argument(command_line);
  if (path.empty()) return fail("the QEMU of process {} has no monitor of its own (-qmp unix:PATH)", qemu);
  return path;
}

}  // namespace wherry
