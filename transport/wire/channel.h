// What the two ends of a session agree to call things: channels, their kinds, and the blocks of guest memory.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "compression/page_batch.h"

namespace wherry {

// One connection of the VMM's. Channel 0 is `main`. The numbers are the wire's.
enum class ChannelKind : uint8_t {
  main = 0,    // the stream itself; has a way back
  data = 1,    // one of several parallel streams of pages
  urgent = 2,  // small, latency-critical, outside all epochs: travels on the control connection
  disk = 3,    // storage that moves along: outside all epochs, behind the guest's memory, has a way back
};

// As above.
std::string_view name(ChannelKind kind);

inline constexpr uint16_t kMainChannel = 0;
inline constexpr uint16_t kMaxChannels = 300;  // QEMU has at most 255 multifd channels
inline constexpr size_t kMaxBlocks = 4096;

// The RAM blocks of the guest, in the order in which batches number them.
struct GuestBlocks {
  uint32_t page_size = 0;
  struct Block {
    std::string name;
    uint64_t length = 0;  // bytes
  };
  std::vector<Block> blocks;
  std::string relay_because;     // set: pages must go through the channels, for this reason
  bool page_size_named = false;  // the VMM has said it; else it is what that of most guests is

  PageSpace space() const;
  nlohmann::json to_json() const;
  static Result<GuestBlocks> from_json(const nlohmann::json& map);
};

}  // namespace wherry
