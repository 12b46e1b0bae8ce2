// Sections of QEMU's main channel, other than RAM's, that go on beside the pages and say where they end:
// bitmaps of disks, disks themselves (QEMU up to 9.0), VFIO devices. Only their extent is of interest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace wherry::qemu {

// Named after the handlers that write them.
enum class ForeignSection {
  dirty_bitmap,  // migration/block-dirty-bitmap.c
  block,         // migration/block.c
  vfio,          // hw/vfio/migration.c
};

// The format of a section of that name and version, if it is one of these.
std::optional<ForeignSection> foreign_section(std::string_view name, uint32_t version);

// The record at the front of a section's bytes.
struct ForeignRecord {
  enum class Kind { needs_more, unknown, inner, last } kind = Kind::needs_more;
  size_t head = 0;    // its length, at most kLongestForeignHead, without
  uint64_t data = 0;  // the bytes behind it, which have no structure
};
inline constexpr size_t kLongestForeignHead = 1024;
ForeignRecord foreign_record(ForeignSection section, std::span<const uint8_t> bytes);

}  // namespace wherry::qemu
