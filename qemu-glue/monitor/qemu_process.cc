#include "qemu-glue/monitor/qemu_process.h"

#include <fstream>
#include <sstream>

namespace wherry {

Result<uid_t> user_of(pid_t process) {
  std::ifstream status(fmt::format("/proc/{}/status", process));
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with("Uid:")) continue;
    std::istringstream fields(line.substr(4));
    uid_t real = 0;
    uid_t effective = 0;
    uid_t saved = 0;
    uid_t of_files = 0;
    if (fields >> real >> effective >> saved >> of_files) return of_files;
  }
  return fail("cannot find the user of process {}", process);
}

std::string path_of(pid_t process, const std::string& path) {
  return path.empty() || path.starts_with('/') ? path : fmt::format("/proc/{}/cwd/{}", process, path);
}

}  // namespace wherry
