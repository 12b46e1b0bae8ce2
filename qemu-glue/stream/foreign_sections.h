// Sections of QEMU's main channel, other than RAM, that are interleaved with the pages and whose length can
// be told: dirty bitmaps of disks, disks themselves (QEMU up to 9.0), VFIO devices. Wherry finds where they
// end and carries them unread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace wherry::qemu {

// Named after the handlers in QEMU that write them.
enum class ForeignSection {
  dirty_bitmap,  // migration/block-dirty-bitmap.c
  block,         // migration/block.c
  vfio,          // hw/vfio/migration.c
};

// The format of the section with this name and version; nothing if it is not one of these.
std::optional<ForeignSection> foreign_section(std::string_view name, uint32_t version);

// The first record of a section's bytes. `needs_more`: the bytes end within its head. `unknown`: its length
// cannot be told. `last`: the section's footer follows.
struct ForeignRecord {
  enum class Kind { needs_more, unknown, inner, last } kind = Kind::needs_more;
  size_t head = 0;    // bytes of the head, at most kLongestForeignHead
  uint64_t data = 0;  // bytes after the head, without structure
};
inline constexpr size_t kLongestForeignHead = 1024;
ForeignRecord foreign_record(ForeignSection section, std::span<const uint8_t> bytes);

}  // namespace wherry::qemu
