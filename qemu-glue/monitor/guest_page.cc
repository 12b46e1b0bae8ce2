#include "qemu-glue/monitor/guest_page.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>

#include "qemu-glue/monitor/json_member.h"

namespace wherry::qemu {
namespace {

constexpr std::array<std::string_view, 21> kOf4K{
    "hppa",     "i386",   "m68k",  "microblaze", "microblazeel", "mips",    "mips64",
    "mips64el", "mipsel", "ppc",   "ppc64",      "riscv32",      "riscv64", "rx",
    "s390x",    "sh4",    "sh4eb", "sparc",      "x86_64",       "xtensa",  "xtensaeb"};

}  // namespace

std::optional<uint32_t> page_size_of_processor(Monitor& qemu) {
  const auto target = qemu.execute("query-target");
  const std::string* processor = target ? text_member(*target, "arch") : nullptr;
  if (!processor || std::find(kOf4K.begin(), kOf4K.end(), *processor) == kOf4K.end()) return std::nullopt;
  return 4096;
}

std::optional<uint32_t> checked_page_size(double bytes) {
  if (bytes < 1 || bytes > std::numeric_limits<uint32_t>::max()) return std::nullopt;
  return static_cast<uint32_t>(bytes);
}

std::optional<uint32_t> page_size_told(const nlohmann::json& query_migrate) {
  const nlohmann::json* ram = member(query_migrate, "ram");
  return ram != nullptr ? checked_page_size(number_member(*ram, "page-size")) : std::nullopt;
}

}  // namespace wherry::qemu
