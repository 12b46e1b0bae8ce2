// What a user asks of compression: the keys compress, level, history and verify of the migration URI.
#pragma once

#include <cstdint>
#include <optional>

namespace wherry {

struct Compression {
  enum class Mode {
    automatic,   // what lands the most pages a second, measured all the time
    off,         // pages as they are; only zeros are left out
    zstd,        // every page that compresses
    delta,       // of pages that come again, the lines that changed
    delta_zstd,  // both
  };
  Mode mode = Mode::automatic;
  std::optional<int> level;         // zstd's, instead of the one that is measured best
  std::optional<uint64_t> history;  // bytes for remembering pages; none: PageHistory's default
  bool verify = false;              // the destination checks each page
};

}  // namespace wherry
