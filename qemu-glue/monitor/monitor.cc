#include "qemu-glue/monitor/monitor.h"

#include <utility>

namespace wherry {

Result<std::string> Monitor::human(std::string_view command_line, std::chrono::milliseconds timeout) {
  auto answer = execute("human-monitor-command", {{"command-line", std::string(command_line)}}, timeout);
  if (!answer) return pass_on(answer);
  auto* text = answer->get_ptr<std::string*>();
  if (text == nullptr) return fail("QEMU's answer to '{}' is not text", command_line);
  return std::move(*text);
}

}  // namespace wherry
