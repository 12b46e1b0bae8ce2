#include "qemu-glue/doctor/shared_ram.h"

#include <fmt/core.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace wherry::doctor {
namespace {

namespace fs = std::filesystem;

// N, in KiB, of the line "NAME:  N kB" as in /proc/meminfo and smaps; 0 for any other line.
uint64_t kib_of(const std::string& line, const std::string& name) {
  return line.starts_with(name + ":") ? std::strtoull(line.c_str() + name.size() + 1, nullptr, 10) : 0;
}

bool is_qemu(const fs::path& process) {
  std::string name;
  std::ifstream comm(process / "comm");
  return std::getline(comm, name) && (name.starts_with("qemu-") || name == "kvm");
}

// KiB of the process's shared mappings that are not resident. Huge pages are left out, since they come from
// their own pool, and so are mappings of devices.
uint64_t unfilled(const fs::path& process) {
  uint64_t size = 0;
  uint64_t resident = 0;
  uint64_t sum = 0;
  std::ifstream smaps(process / "smaps");
  for (std::string line; std::getline(smaps, line);) {
    if (const uint64_t found = kib_of(line, "Size"); found > 0) size = found;
    if (line.starts_with("Rss:")) resident = kib_of(line, "Rss");
    if (!line.starts_with("VmFlags:")) continue;  // the last line of a mapping
    bool shared = false;
    bool other = false;
    std::istringstream flags(line);
    for (std::string flag; flags >> flag;) {
      shared = shared || flag == "sh";
      other = other || flag == "ht" || flag == "pf" || flag == "io";
    }
    if (shared && !other && size > resident) sum += size - resident;
  }
  return sum;
}

uint64_t available(const fs::path& meminfo) {
  std::ifstream file(meminfo);
  for (std::string line; std::getline(file, line);) {
    if (const uint64_t found = kib_of(line, "MemAvailable"); found > 0) return found;
  }
  return 0;
}

}  // namespace

Finding shared_ram(const std::string& proc) {
  uint64_t most = 0;
  std::string whose;
  std::error_code ignored;
  for (const auto& process : fs::directory_iterator(proc, ignored)) {
    if (!is_qemu(process.path())) continue;
    if (const uint64_t more = unfilled(process.path()); more > most) {
      most = more;
      whose = process.path().filename().string();
    }
  }
  const uint64_t room = available(fs::path(proc) / "meminfo");
  if (most <= room)
    return ok("shared RAM", fmt::format("enough memory for what a guest here has never touched: {} MiB of {}",
                                        most / 1024, room / 1024));
  return note(
      "shared RAM",
      fmt::format("QEMU {} has {} MiB that were never touched; the first pass of a migration allocates "
                  "them on this host, which has only {} MiB available",
                  whose, most / 1024, room / 1024),
      "free memory before that guest migrates, or give it private RAM (no memory-backend, or share=off)");
}

}  // namespace wherry::doctor
