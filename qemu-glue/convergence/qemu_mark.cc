#include "qemu-glue/convergence/qemu_mark.h"

#include <fmt/core.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>

#include "base/peer_process.h"

namespace wherry::convergence {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

bool is_gone(pid_t process) {
  return ::kill(process, 0) != 0 && errno == ESRCH;
}

// If the file is not a mark, the result has nothing to restore. Nothing: it cannot be read.
std::optional<QemuMark::Left> read(pid_t qemu, const fs::path& path) {
  const std::ifstream file(path);
  if (!file) return std::nullopt;
  std::ostringstream text;
  text << file.rdbuf();  // this does not throw on a read error, as the parser would
  const json told = json::parse(text.view(), nullptr, false);
  QemuMark::Left left{qemu, json::object(), {}, path};
  if (!told.is_object()) return left;
  if (const auto throttle = told.find("throttle"); throttle != told.end() && throttle->is_string())
    left.throttle = *throttle;
  if (const auto parameters = told.find("parameters"); parameters != told.end() && parameters->is_object()) {
    for (const auto& [name, value] : parameters->items()) {
      if (value.is_number()) left.parameters[name] = value;
    }
  }
  return left;
}

}  // namespace

fs::path QemuMark::usual_directory() {
  if (::geteuid() == 0) return "/run/wherry-marks";
  const char* own = std::getenv("XDG_RUNTIME_DIR");
  return own ? fs::path(own) / "wherry-marks" : fs::path();
}

QemuMark::QemuMark(pid_t qemu, json parameters, const fs::path& directory)
    : told_{{"parameters", std::move(parameters)}, {"throttle", ""}} {
  if (directory.empty()) return;
  std::error_code error;
  fs::create_directory(directory, error);
  file_ = directory / fmt::format("{}-{}-{}", qemu, start_of(qemu), ::getpid());
  write();
}

void QemuMark::set_throttle(std::string_view name) {
  told_["throttle"] = name;
  write();
}

// Whole or not at all.
void QemuMark::write() const {
  if (file_.empty()) return;
  fs::path fresh = file_;
  fresh += ".new";
  std::ofstream(fresh) << told_;
  std::error_code error;
  fs::rename(fresh, file_, error);
}

QemuMark::~QemuMark() {
  std::error_code error;
  fs::remove(file_, error);
}

std::vector<QemuMark::Left> QemuMark::abandoned(const fs::path& directory) {
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
    const uint64_t now = start_of(qemu);
    if (since == 0 || (now != 0 && now != since) || is_gone(qemu)) {
      fs::remove(entry.path(), error);  // its QEMU is gone, and everything that was set in it
    } else if (auto left = now != 0 ? read(qemu, entry.path()) : std::nullopt) {
      found.push_back(std::move(*left));
    }
  }
  return found;
}

}  // namespace wherry::convergence
