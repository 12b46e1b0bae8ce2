// What both ends of a session number and name alike: channels, their kinds, and the blocks of guest memory.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "compression/page_batch.h"

namespace wherry {

// The kind of a channel, which is one connection of the VMM. Channel 0 is `main`. The numbers are those of
// the wire format.
enum class ChannelKind : uint8_t {
  main = 0,    // the stream itself; has a return path
  data = 1,    // one of several parallel streams of pages
  urgent = 2,  // small, latency-critical, outside all epochs; travels on the control connection
  disk = 3,    // storage that is migrated too: outside all epochs, memory goes first; has a return path
};

// As above.
std::string_view name(ChannelKind kind);

inline constexpr uint16_t kMainChannel = 0;
inline constexpr uint16_t kMaxChannels = 300;  // QEMU has at most 255 multifd channels
// What the name of a thread calls a channel: "main", or its number.
std::string short_name(uint16_t channel);

inline constexpr size_t kMaxBlocks = 4096;
inline constexpr uint64_t kMaxGuestBytes = uint64_t{1} << 46;  // in all blocks together

// The RAM blocks of the guest, in the order in which batches number them.
struct GuestBlocks {
  uint32_t page_size = 0;
  struct Block {
    std::string name;
    uint64_t length = 0;  // bytes
  };
  std::vector<Block> blocks;
  std::string relay_because;     // why pages must go through the channels; empty: they need not
  bool page_size_named = false;  // the VMM has named page_size; false: page_size is that of most guests

  PageSpace space() const;
  nlohmann::json to_json() const;
  // An Error also for blocks that no guest has: two of one name, or more than kMaxGuestBytes.
  static Result<GuestBlocks> from_json(const nlohmann::json& map);
};

}  // namespace wherry
