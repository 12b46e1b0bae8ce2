#include "qemu-glue/monitor/own_monitor.h"

#include "qemu-glue/monitor/command_line.h"
#include "qemu-glue/monitor/qemu_process.h"

namespace wherry {

std::string qmp_argument(std::string_view command_line) {
  constexpr std::string_view kUnix = "unix:";
  std::string_view path = argument_of(command_line, "qmp", kUnix);
  path.remove_prefix(path.empty() ? 0 : kUnix.size());
  return std::string(path.substr(0, path.find(',')));
}

Result<std::string> own_monitor(pid_t qemu) {
  auto command_line = read_command_line(qemu);
  if (!command_line) return pass_on(command_line);
  std::string path = qmp_argument(*command_line);
  if (path.empty()) return fail("the QEMU of process {} has no monitor of its own (-qmp unix:PATH)", qemu);
  return path_of(qemu, path);
}

}  // namespace wherry
