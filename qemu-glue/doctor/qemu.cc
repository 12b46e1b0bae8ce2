#include "qemu-glue/doctor/qemu.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <utility>

#include "qemu-glue/daemon/child.h"

namespace wherry::doctor {
namespace {

constexpr std::chrono::seconds kVersionPatience{5};
constexpr const char* kRemedy = "install QEMU 7.2 to 11.x (on Debian: apt install qemu-system-x86)";

using Version = std::pair<int, int>;  // major, minor
// The versions that tests run with.
constexpr Version kOldest{7, 2};
constexpr int kNewestMajor = 11;

}  // namespace

std::string find_qemu(const std::string& path, const std::string& machine) {
  std::istringstream directories(path);
  for (std::string directory; std::getline(directories, directory, ':');) {
    std::string program = fmt::format("{}/qemu-system-{}", directory, machine);
    if (!directory.empty() && ::access(program.c_str(), X_OK) == 0) return program;
  }
  for (const char* program : {"/usr/libexec/qemu-kvm", "/usr/bin/qemu-kvm"}) {
    if (::access(program, X_OK) == 0) return program;
  }
  return {};
}

Result<std::string> version_line(const std::string& program) {
  auto child = daemon::Child::spawn({program, "--version"});
  if (!child) return pass_on(child);
  std::string line;
  if ((*child)->read_line(line, kVersionPatience) != daemon::Child::Said::line)
    return fail("it prints nothing with --version");
  return line;
}

Finding qemu(const std::string& program, const Result<std::string>& version_line) {
  if (program.empty()) return problem("qemu", "not found", kRemedy);
  if (!version_line) return problem("qemu", program + ": " + version_line.error().message, kRemedy);
  Version version;
  if (std::sscanf(version_line->c_str(), "QEMU emulator version %d.%d", &version.first, &version.second) != 2)
    return problem("qemu", fmt::format("{}: \"{}\" has no version", program, *version_line), kRemedy);
  std::string found = fmt::format("{} is {}.{}", program, version.first, version.second);
  if (version < kOldest) return problem("qemu", found + ", too old", kRemedy);
  if (version.first > kNewestMajor) {
    return note("qemu", found + ", newer than this Wherry was tested with",
                "try a migration, or update Wherry");
  }
  return ok("qemu", std::move(found));
}

Finding examine_qemu() {
  utsname host{};
  ::uname(&host);
  const char* path = std::getenv("PATH");
  const std::string program = find_qemu(path ? path : "", host.machine);
  return qemu(program, program.empty() ? fail("not found") : version_line(program));
}

}  // namespace wherry::doctor
