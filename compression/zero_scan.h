// Whether memory holds nothing but zero bytes: the question asked of every page that is sent.
//
// Any length and alignment; an empty span counts as zero. Stops at the first 256 bytes that hold data, so
// that a page with content costs next to nothing. Reads nothing outside `bytes`. Thread-safe. The
// implementation is chosen once, from what the CPU and the system support.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace wherry {

bool is_zero(std::span<const uint8_t> bytes);

// One implementation of is_zero().
struct ZeroScan {
  std::string_view name;
  bool (*is_zero)(std::span<const uint8_t> bytes);
};

// Those that work on this machine, the one in use first; the last is portable.
std::span<const ZeroScan> zero_scans();

}  // namespace wherry
