#include "qemu-glue/convergence/throttle_mark.h"

#include <fmt/core.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <limits>

namespace wherry::convergence {
namespace {

namespace fs = std::filesystem;

// Clock ticks since the machine's; 0: there is no such process.
unsigned long long started(pid_t process) {
  std::ifstream file(fmt::format("/proc/{}/stat", process));
  file.ignore(std::numeric_limits<std::streamsize>::max(), ')');  // its name may hold anything but this
  std::string field;
  constexpr int kState = 3;
  constexpr int kStartTime = 22;
  for (int i = kState; i < kStartTime; ++i) file >> field;
  unsigned long long ticks = 0;
  file >> ticks;
  return file ? ticks : 0;
}

bool is_gone(pid_t process) {
  return ::kill(process, 0) != 0 && errno == ESRCH;
}

}  // namespace

fs::path ThrottleMark::usual_directory() {
  if (::geteuid() == 0) return "/run/wherry-throttles";
  const char* own = std::getenv("XDG_RUNTIME_DIR");
  return own ? fs::path(own) / "wherry-throttles" : fs::path();
}

ThrottleMark::ThrottleMark(pid_t qemu, std::string_view throttle, const fs::path& directory) {
  if (directory.empty()) return;
  std::error_code error;
  fs::create_directory(directory, error);
  file_ = directory / fmt::format("{}-{}-{}", qemu, started(qemu), ::getpid());
  std::ofstream(file_) << throttle;
}

ThrottleMark::~ThrottleMark() {
  std::error_code error;
  fs::remove(file_, error);
}

std::vector<ThrottleMark::Left> ThrottleMark::abandoned(const fs::path& directory) {
  std::vector<Left> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    pid_t qemu = 0;
    pid_t owner = 0;
    unsigned long long since = 0;
    int length = 0;
    const std::string name = entry.path().filename();
    if (std::sscanf(name.c_str(), "%d-%llu-%d%n", &qemu, &since, &owner, &length) != 3 ||
        static_cast<size_t>(length) != name.size() || qemu <= 0 || owner <= 0 || !is_gone(owner))
      continue;
    if (since == 0 || started(qemu) != since) {
      fs::remove(entry.path(), error);  // with its QEMU all is gone
      continue;
    }
    std::ifstream file(entry.path());
    found.push_back({qemu, {std::istreambuf_iterator<char>(file), {}}, entry.path()});
  }
  return found;
}

}  // namespace wherry::convergence
