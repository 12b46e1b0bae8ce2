#include "qemu-glue/stream/multifd_reader.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "qemu-glue/stream/formats.h"

namespace wherry::qemu {
namespace {

// Offsets in a packet header: QEMU's MultiFDPacket_t.
constexpr size_t kFlagsAt = 8;
constexpr size_t kSlotsAt = 12;
constexpr size_t kNormalAt = 16;
constexpr size_t kPayloadSizeAt = 20;
constexpr size_t kZeroAt = 32;
constexpr size_t kBlockAt = 64;
constexpr size_t kBlockBytes = 256;
constexpr size_t kOffsetsAt = 320;
// MultiFDPacketDeviceState_t
constexpr size_t kDeviceStateHeader = 276;
constexpr size_t kDeviceStateSizeAt = 272;
// Bytes that both headers share: magic, version, flags.
constexpr size_t kCommonHeader = 12;

size_t leading_zeros(std::span<const uint8_t> bytes) {
  return static_cast<size_t>(
      std::find_if(bytes.begin(), bytes.end(), [](uint8_t byte) { return byte != 0; }) - bytes.begin());
}

}  // namespace

uint32_t MultifdReader::slots() const {
  return kMultifdPacketBytes / (blocks_ ? blocks_->page_size : 4096);
}
size_t MultifdReader::header_length() const {
  return kOffsetsAt + size_t{8} * slots();
}

StreamReader::Want MultifdReader::wants(std::span<const uint8_t> remained) const {
  size_t length = header_length();
  switch (state_) {
    case State::greeting:
      length = kMultifdInitBytes;
      break;
    case State::device_state:
      return {1, device_state_left_};
    case State::opaque:
      return {1, SIZE_MAX};
    case State::packet:
      if (remained.size() >= kCommonHeader && (be32(&remained[kFlagsAt]) & kMultifdDeviceState)) {
        length = kDeviceStateHeader;
      } else if (remained.size() >= length) {
        length += size_t{be32(&remained[kNormalAt])} * (kMultifdPacketBytes / slots());
      }
  }
  return {length, length - std::min(length, remained.size())};
}

size_t MultifdReader::read(std::span<uint8_t> bytes) {
  size_t taken = 0;
  while (taken < bytes.size()) {
    const State before = state_;
    const size_t took = step(bytes.subspan(taken));
    if (took == 0 && state_ == before) break;
    taken += took;
  }
  return taken;
}

size_t MultifdReader::step(std::span<uint8_t> bytes) {
  switch (state_) {
    case State::greeting:
      if (bytes.size() < kMultifdInitBytes) return 0;
      state_ = State::packet;
      return keep(bytes, kMultifdInitBytes);
    case State::packet:
      return packet(bytes);
    case State::device_state: {
      const size_t length = std::min<uint64_t>(bytes.size(), device_state_left_);
      device_state_left_ -= length;
      if (device_state_left_ == 0) state_ = State::packet;
      return keep(bytes, length);
    }
    case State::opaque:
      break;
  }
  return keep(bytes, bytes.size());
}

size_t MultifdReader::keep(std::span<const uint8_t> bytes, size_t length) {
  events_.record(bytes.first(length));
  return length;
}

size_t MultifdReader::give_up(std::string_view why) {
  state_ = State::opaque;
  events_.opaque(why, true);
  return 0;
}

bool MultifdReader::know_blocks() {
  if (blocks_) return true;
  blocks_ = block_list_();
  if (!blocks_) return false;
  for (const auto& block : blocks_->blocks) {
    block_numbers_.emplace(block.name, static_cast<uint16_t>(block_numbers_.size()));
  }
  return true;
}

size_t MultifdReader::packet(std::span<uint8_t> bytes) {
  if (zeros_ahead_) {
    if (const size_t zeros = leading_zeros(bytes)) return keep(bytes, zeros);
    zeros_ahead_ = false;  // a packet begins with its magic, not with a zero
  }
  if (bytes.size() < kCommonHeader) return 0;
  if (be32(&bytes[0]) != kMultifdMagic || be32(&bytes[4]) != kMultifdVersion)
    return give_up("not a multifd packet");
  const uint32_t flags = be32(&bytes[kFlagsAt]);
  if (flags == kMultifdDeviceState) return device_state_header(bytes);
  if (flags & kMultifdCompression) return give_up("multifd-compression");
  if (flags & ~kMultifdSync) return give_up("a multifd packet with unknown flags");
  if (!know_blocks()) return give_up("the main channel does not name the RAM blocks");
  if (bytes.size() < kOffsetsAt) return 0;
  const uint32_t normal = be32(&bytes[kNormalAt]);
  const uint32_t zero = be32(&bytes[kZeroAt]);
  size_t header = header_length();
  if (be32(&bytes[kSlotsAt]) == 0 && normal == 0 && zero == 0) {
    // In a SYNC, newer QEMUs (10.0, 11.1) write 0 for the number of slots, and zeros in the slots.
    header = kOffsetsAt;
    zeros_ahead_ = true;
  } else if (be32(&bytes[kSlotsAt]) != slots()) {
    return give_up("multifd packets with a page size other than the RAM blocks'");
  }
  if (bytes.size() < header) return 0;
  if (normal > slots() || zero > slots() - normal) return give_up("a multifd packet with too many pages");
  const uint32_t page_size = blocks_->page_size;
  // QEMU 7.2 leaves stale values in other fields of packets without pages.
  const size_t end = header + size_t{normal} * page_size;
  if (bytes.size() < end) return 0;
  if (normal + zero > 0) {
    const char* name = reinterpret_cast<const char*>(&bytes[kBlockAt]);
    auto found = block_numbers_.find(std::string_view(name, strnlen(name, kBlockBytes)));
    if (found == block_numbers_.end()) return give_up("a multifd packet of an unknown RAM block");
    const uint64_t pages = blocks_->blocks[found->second].length / page_size;
    for (uint32_t i = 0; i < normal + zero; ++i) {
      const uint64_t offset = be64(&bytes[kOffsetsAt + 8 * i]);
      if (offset % page_size != 0 || offset / page_size >= pages)
        return give_up("a multifd page outside its RAM block");
    }
    carry_pages(bytes.first(end), found->second);
    if (!(flags & kMultifdSync)) return end;
    put_be32(&bytes[kNormalAt], 0);
    put_be32(&bytes[kPayloadSizeAt], 0);
    put_be32(&bytes[kZeroAt], 0);
    events_.replacement({bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(header)}, 0);
  } else {
    keep(bytes, header);
  }
  if (flags & kMultifdSync) {
    events_.epoch_end();
    ++epoch_;
  }
  return end;
}

// Reports the pages of a packet that has been checked.
void MultifdReader::carry_pages(std::span<const uint8_t> packet, uint16_t block) {
  using Edge = RepeatedPages::Edge;
  const uint32_t page_size = blocks_->page_size;
  const uint32_t normal = be32(&packet[kNormalAt]);
  const uint32_t all = normal + be32(&packet[kZeroAt]);
  size_t element = header_length();  // the header's bytes are charged to the first page
  for (uint32_t i = 0; i < all; ++i) {
    const uint64_t index = be64(&packet[kOffsetsAt + 8 * i]) / page_size;
    const uint8_t* content = i < normal ? &packet[header_length() + size_t{i} * page_size] : nullptr;
    if (content) element += page_size;
    const bool at_end = i + 1 == slots() && i > 0;
    if ((i == 0 || at_end) && repeated_.repeats(epoch_, block, index, at_end ? Edge::end : Edge::head)) {
      continue;
    }
    events_.page(block, index, content, page_size, element);
    element = 0;
  }
  if (element > 0) events_.dropped(element);
}

size_t MultifdReader::device_state_header(std::span<const uint8_t> bytes) {
  if (bytes.size() < kDeviceStateHeader) return 0;
  device_state_left_ = be32(&bytes[kDeviceStateSizeAt]);
  if (device_state_left_ > 0) state_ = State::device_state;
  return keep(bytes, kDeviceStateHeader);
}

}  // namespace wherry::qemu
