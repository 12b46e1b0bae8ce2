// What a user asks of compression: the keys compress, level, history and verify of the migration URI.
#pragma once

#include <cstdint>
#include <optional>

namespace wherry {

struct Compression {
  enum class Mode {
    automatic,   // whatever lands the most pages a second, measured all the time
    off,         // pages as they are; only zeros are left out
    zstd,        // zstd for every page that compresses
    delta,       // only what changed, for pages that are sent again
    delta_zstd,  // delta and zstd
  };
  Mode mode = Mode::automatic;
  std::optional<int> level;         // of zstd; none: the one that is best as measured
  std::optional<uint64_t> history;  // bytes for remembering pages; none: PageHistory's default
  bool verify = false;              // each page is sent with its SHA-256, which the destination checks
};

}  // namespace wherry
