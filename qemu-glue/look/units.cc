#include "qemu-glue/look/units.h"

#include <fmt/core.h>

#include <array>

namespace wherry::look {
namespace {

Scale scale_of_bytes(double highest) {
  constexpr std::array<const char*, 7> kUnits{"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  size_t unit = 0;
  double one = 1;
  while (highest / one >= 1000 && unit + 1 < kUnits.size()) {
    one *= 1000;
    ++unit;
  }
  return {one, kUnits[unit]};
}

}  // namespace

std::string bytes_text(double bytes) {
  const Scale scale = scale_of_bytes(bytes);
  return fmt::format("{:.{}f} {}", bytes / scale.one, scale.one == 1 ? 0 : 1, scale.name);
}

std::string amount_text(Unit unit, double amount) {
  switch (unit) {
    case Unit::bytes:
      return bytes_text(amount);
    case Unit::bytes_per_second:
      return bytes_text(amount) + "/s";
    case Unit::milliseconds: {
      if (amount < 10'000) return fmt::format("{:.{}f} ms", amount, amount < 10 ? 1 : 0);
      const Scale scale = scale_of(unit, amount);
      return fmt::format("{:.1f} {}", amount / scale.one, scale.name);
    }
    case Unit::percent:
      return fmt::format("{:.0f} %", amount);
    case Unit::times:
      break;
  }
  return fmt::format("{:.2f}", amount);
}

Scale scale_of(Unit unit, double highest) {
  switch (unit) {
    case Unit::bytes:
      return scale_of_bytes(highest);
    case Unit::bytes_per_second: {
      Scale scale = scale_of_bytes(highest);
      scale.name += "/s";
      return scale;
    }
    case Unit::milliseconds: {
      if (highest < 10'000) return {1, "ms"};
      const Scale scale = scale_of_seconds(highest / 1000);
      return {1000 * scale.one, scale.name};
    }
    case Unit::percent:
      return {1, "%"};
    case Unit::times:
      break;
  }
  return {1, ""};
}

Scale scale_of_seconds(double longest) {
  if (longest <= 600) return {1, "s"};
  return longest <= 36'000 ? Scale{60, "min"} : Scale{3600, "h"};
}

}  // namespace wherry::look
