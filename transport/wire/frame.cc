#include "transport/wire/frame.h"

#define XXH_STATIC_LINKING_ONLY  // defines XXH3_state_t
#include <xxh_x86dispatch.h>

#include "base/bytes.h"

namespace wherry {
namespace {

// Offsets in the header.
constexpr size_t kHeadSumAt = 48;
constexpr size_t kBodySumAt = 56;

// The head sum covers everything of header and table but itself.
uint64_t head_sum(const HeaderBytes& bytes, std::span<const uint8_t> table) {
  Checksum sum;
  sum.add(std::span(bytes).first(kHeadSumAt));
  sum.add(std::span(bytes).subspan(kBodySumAt));
  sum.add(table);
  return sum.value();
}

}  // namespace

std::string_view name(FrameType type) {
  switch (type) {
    case FrameType::open:
      return "open";
    case FrameType::record:
      return "record";
    case FrameType::batch:
      return "batch";
    case FrameType::close:
      return "close";
    case FrameType::blocks:
      return "blocks";
    case FrameType::hello:
      return "hello";
    case FrameType::welcome:
      return "welcome";
    case FrameType::refuse:
      return "refuse";
    case FrameType::lane_hello:
      return "lane_hello";
    case FrameType::service:
      return "service";
    case FrameType::lane_path:
      return "lane_path";
    case FrameType::last_word:
      return "last_word";
    case FrameType::ack:
      return "ack";
    case FrameType::reverse:
      return "reverse";
    case FrameType::reverse_close:
      return "reverse_close";
    case FrameType::failed:
      return "failed";
    case FrameType::done:
      return "done";
    case FrameType::bases:
      return "bases";
    case FrameType::again:
      return "again";
    case FrameType::lane_lost:
      return "lane_lost";
    case FrameType::lane_ended:
      return "lane_ended";
    case FrameType::may_be_there:
      return "may_be_there";
  }
  return {};
}

HeaderBytes encode_header(const FrameHeader& header, std::span<const uint8_t> table) {
  HeaderBytes bytes{};
  put_le(&bytes[0], kFrameMagic);
  put_le(&bytes[4], kWireVersion);
  put_le(&bytes[5], static_cast<uint8_t>(header.type));
  put_le(&bytes[6], header.flags);
  put_le(&bytes[8], header.channel);
  put_le(&bytes[12], header.epoch);
  put_le(&bytes[16], header.sequence);
  put_le(&bytes[24], header.pages);
  put_le(&bytes[28], header.table_length);
  put_le(&bytes[32], header.body_length);
  put_le(&bytes[36], header.aux);
  put_le(&bytes[40], header.pack_length);
  put_le(&bytes[44], header.plain_length);
  put_le(&bytes[kBodySumAt], header.body_sum);
  put_le(&bytes[kHeadSumAt], head_sum(bytes, table));
  return bytes;
}

Result<FrameHeader> decode_header(const HeaderBytes& bytes) {
  if (get_le<uint32_t>(&bytes[0]) != kFrameMagic) return fail("not a Wherry frame (wrong magic)");
  if (bytes[4] != kWireVersion) {
    return fail("the peer speaks version {} of the wire format: update Wherry {}", bytes[4],
                bytes[4] < kWireVersion ? "there" : "here");
  }
  if (name(static_cast<FrameType>(bytes[5])).empty())
    return fail("a frame has the unknown type {}", bytes[5]);
  if (get_le<uint16_t>(&bytes[10]) != 0) return fail("a frame has reserved bits set");
  FrameHeader header;
  header.type = static_cast<FrameType>(bytes[5]);
  header.flags = get_le<uint16_t>(&bytes[6]);
  header.channel = get_le<uint16_t>(&bytes[8]);
  header.epoch = get_le<uint32_t>(&bytes[12]);
  header.sequence = get_le<uint64_t>(&bytes[16]);
  header.pages = get_le<uint32_t>(&bytes[24]);
  header.table_length = get_le<uint32_t>(&bytes[28]);
  header.body_length = get_le<uint32_t>(&bytes[32]);
  header.aux = get_le<uint32_t>(&bytes[36]);
  header.pack_length = get_le<uint32_t>(&bytes[40]);
  header.plain_length = get_le<uint32_t>(&bytes[44]);
  header.body_sum = get_le<uint64_t>(&bytes[kBodySumAt]);
  if (header.table_length > kMaxTable) return fail("a frame has a table of {} bytes", header.table_length);
  if (header.body_length > kMaxBody) return fail("a frame has a body of {} bytes", header.body_length);
  if (header.pack_length > header.body_length || header.plain_length > kMaxBody ||
      (header.pack_length == 0) != (header.plain_length == 0)) {
    return fail("a frame has a pack of {} bytes that unpack to {}", header.pack_length, header.plain_length);
  }
  return header;
}

Result<> check_head(const HeaderBytes& bytes, std::span<const uint8_t> table) {
  if (get_le<uint64_t>(&bytes[kHeadSumAt]) != head_sum(bytes, table)) {
    return fail("a frame header was damaged on its way (checksum)");
  }
  return {};
}

struct Checksum::State {
  XXH3_state_t xxh;
};

Checksum::Checksum() : state_(std::make_unique<State>()) {
  reset();
}
Checksum::~Checksum() = default;
void Checksum::reset() {
  XXH3_64bits_reset(&state_->xxh);
}
void Checksum::add(std::span<const uint8_t> bytes) {
  XXH3_64bits_update_dispatch(&state_->xxh, bytes.data(), bytes.size());
}
uint64_t Checksum::value() const {
  return XXH3_64bits_digest(&state_->xxh);
}

}  // namespace wherry
