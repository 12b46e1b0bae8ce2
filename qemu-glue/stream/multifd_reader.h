// Reads one of QEMU's multifd channels: a 64-byte greeting, then packets of a fixed header and page data.
//
// An uncompressed packet is reported page by page; a SYNC packet ends an epoch. VFIO's device-state packets
// are records. A packet with compression or unknown flags makes the channel opaque from that packet on.
//
// wants() asks for a header to its end and no further, so that page data is received where it stays. The
// length of a header depends on the guest's page size, which may be a guess. So the zeros at the end of a
// header without pages are carried as they arrive, and their number is not assumed. Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>

#include "qemu-glue/stream/repeated_pages.h"
#include "qemu-glue/stream/stream_events.h"
#include "qemu-glue/stream/stream_reader.h"

namespace wherry::qemu {

class MultifdReader : public StreamReader {
 public:
  // Waits until the main channel has named the guest's blocks; null if it never will.
  using BlockList = std::function<const GuestBlocks*()>;

  // `repeated` is shared by the channels of a migration.
  MultifdReader(StreamEvents& events, BlockList blocks, RepeatedPages& repeated)
      : events_(events), block_list_(std::move(blocks)), repeated_(repeated) {}

  // A packet with SYNC and pages is split: its pages, then a header with SYNC and without pages.
  size_t read(std::span<uint8_t> bytes) override;
  Want wants(std::span<const uint8_t> remained) const override;

 private:
  enum class State { greeting, packet, device_state, opaque };

  size_t step(std::span<uint8_t> bytes);
  size_t packet(std::span<uint8_t> bytes);
  void carry_pages(std::span<const uint8_t> packet, uint16_t block);
  size_t device_state_header(std::span<const uint8_t> bytes);
  size_t give_up(std::string_view why);
  size_t keep(std::span<const uint8_t> bytes, size_t length);
  // Page slots of a packet. 128 if the page size is 4096.
  uint32_t slots() const;
  // In bytes.
  size_t header_length() const;
  bool know_blocks();

  StreamEvents& events_;
  const BlockList block_list_;
  RepeatedPages& repeated_;
  uint32_t epoch_ = 0;
  const GuestBlocks* blocks_ = nullptr;
  std::map<std::string, uint16_t, std::less<>> block_numbers_;
  State state_ = State::greeting;
  bool zeros_ahead_ = false;  // the next zero bytes still belong to a header
  uint64_t device_state_left_ = 0;
};

}  // namespace wherry::qemu
