// How much memory is left, as the kernel says it.
#pragma once

#include <cstdint>
#include <filesystem>

namespace wherry {

// Bytes that this process can take before the machine runs short (MemAvailable), or one of the control groups
// of version 2 that it is in does (memory.max and memory.high, less what the group uses; files that it has
// cached and not used lately do not count). The largest number if nothing says so. `root` is where /proc and
// /sys are.
uint64_t available_memory(const std::filesystem::path& root = "/");

}  // namespace wherry
