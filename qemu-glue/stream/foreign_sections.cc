#include "qemu-glue/stream/foreign_sections.h"

#include "base/bytes.h"
#include "qemu-glue/stream/formats.h"

namespace wherry::qemu {
namespace {

using Kind = ForeignRecord::Kind;

// Steps through a record's head. Once bytes are missing, complete_ is false and all reads return zeros.
class Head {
 public:
  explicit Head(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  const uint8_t* take(size_t length) {
    if (bytes_.size() - length_ < length) complete_ = false;
    if (!complete_) return kNothing;
    length_ += length;
    return bytes_.data() + length_ - length;
  }
  uint8_t byte() { return *take(1); }
  uint64_t word() { return be64(take(8)); }
  // u8 length, text
  void text() { take(byte()); }
  ForeignRecord end(Kind kind, uint64_t data = 0) const {
    if (!complete_) return {};
    return {kind, length_, data};
  }

 private:
  static constexpr uint8_t kNothing[256] = {};
  std::span<const uint8_t> bytes_;
  size_t length_ = 0;
  bool complete_ = true;
};

// u8 flags [u8 length, node] [u8 length, bitmap], then fields that depend on the flags
ForeignRecord dirty_bitmap_record(Head head) {
  enum : uint8_t {
    kEos = 0x01,
    kZeroes = 0x02,
    kBitmap = 0x04,
    kNode = 0x08,
    kStart = 0x10,
    kComplete = 0x20,
    kBits = 0x40,
    kMoreFlags = 0x80
  };
  const uint8_t flags = head.byte();
  const uint8_t what = flags & (kStart | kComplete | kBits | kEos);
  if (flags & kMoreFlags) return {Kind::unknown};
  if (flags & kNode) head.text();
  if (flags & kBitmap) head.text();
  uint64_t data = 0;
  switch (what) {
    case kStart:
      head.take(4 + 1);  // granularity, flags
      break;
    case kComplete:
      break;
    case kBits:
      head.take(8 + 4);  // first sector, number of sectors
      if (!(flags & kZeroes)) data = head.word();
      break;
    case kEos:
      return head.end(Kind::last);
    default:
      return head.end(Kind::unknown);
  }
  return head.end(Kind::inner, data);
}

// u64 sector and flags [u8 length, device] [1 MiB]
ForeignRecord block_record(Head head) {
  enum : uint64_t { kDeviceBlock = 0x01, kEos = 0x02, kProgress = 0x04, kZeroBlock = 0x08, kFlags = 0x1ff };
  constexpr uint64_t kBlockBytes = 1 << 20;
  switch (head.word() & kFlags) {
    case kDeviceBlock:
      head.text();
      return head.end(Kind::inner, kBlockBytes);
    case kDeviceBlock | kZeroBlock:
      head.text();
      return head.end(Kind::inner);
    case kProgress:
      return head.end(Kind::inner);
    case kEos:
      return head.end(Kind::last);
    default:
      return head.end(Kind::unknown);
  }
}

// u64 tag [u64 size, data]
ForeignRecord vfio_record(Head head) {
  constexpr uint64_t kEndOfState = 0xffffffffef100001;
  constexpr uint64_t kSetupState = 0xffffffffef100003;
  constexpr uint64_t kDataState = 0xffffffffef100004;
  // These two end the section without kEndOfState.
  constexpr uint64_t kInitDataSent = 0xffffffffef100005;
  constexpr uint64_t kConfigLoadReady = 0xffffffffef100006;
  switch (head.word()) {
    case kSetupState:
      return head.end(Kind::inner);
    case kDataState: {
      const uint64_t size = head.word();
      return head.end(Kind::inner, size);
    }
    case kEndOfState:
    case kInitDataSent:
    case kConfigLoadReady:
      return head.end(Kind::last);
    default:  // for example the device's configuration, which does not state its length
      return head.end(Kind::unknown);
  }
}

}  // namespace

std::optional<ForeignSection> foreign_section(std::string_view name, uint32_t version) {
  if (version != 1) return std::nullopt;
  if (name == "dirty-bitmap") return ForeignSection::dirty_bitmap;
  if (name == "block") return ForeignSection::block;
  if (name == "vfio" || name.ends_with("/vfio")) return ForeignSection::vfio;
  return std::nullopt;
}

ForeignRecord foreign_record(ForeignSection section, std::span<const uint8_t> bytes) {
  switch (section) {
    case ForeignSection::dirty_bitmap:
      return dirty_bitmap_record(Head(bytes));
    case ForeignSection::block:
      return block_record(Head(bytes));
    case ForeignSection::vfio:
      return vfio_record(Head(bytes));
  }
  return {Kind::unknown};
}

}  // namespace wherry::qemu
