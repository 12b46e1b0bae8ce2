#include "base/available_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>

namespace wherry {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

// What the file consists of. Nothing: there is no such file, or it has a word ("max").
std::optional<uint64_t> number_in(const fs::path& file) {
  uint64_t number = 0;
  if (std::ifstream(file) >> number) return number;
  return std::nullopt;
}

// What follows `name` in a file with one name and number a line.
std::optional<uint64_t> number_of(std::string_view name, const fs::path& file) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string found;
    uint64_t number = 0;
    if (fields >> found >> number && found == name) return number;
  }
  return std::nullopt;
}

uint64_t left_in_group(const fs::path& group) {
  const uint64_t limit = std::min(number_in(group / "memory.max").value_or(kNoLimit),
                                  number_in(group / "memory.high").value_or(kNoLimit));
  const auto used = number_in(group / "memory.current");
  if (limit == kNoLimit || !used) return kNoLimit;
  const uint64_t cached = number_of("inactive_file", group / "memory.stat").value_or(0);
  const uint64_t held = *used - std::min(*used, cached);
  return limit - std::min(limit, held);
}

// Below the root of the hierarchy; empty: this process is not in it.
fs::path own_group(const fs::path& root) {
  constexpr std::string_view kVersion2 = "0::";
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    if (line.starts_with(kVersion2)) return line.substr(kVersion2.size());
  }
  return {};
}

}  // namespace

uint64_t available_memory(const fs::path& root) {
  constexpr uint64_t kKilo = 1024;
  const auto of_machine = number_of("MemAvailable:", root / "proc/meminfo");
  uint64_t least = of_machine ? *of_machine * kKilo : kNoLimit;
  for (fs::path group = own_group(root); !group.empty(); group = group.parent_path()) {
    least = std::min(least, left_in_group(root / "sys/fs/cgroup" / group.relative_path()));
    if (!group.has_relative_path()) break;
  }
  return least;
}

}  // namespace wherry
